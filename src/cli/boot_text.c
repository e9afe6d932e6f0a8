/* Services that bring apps back. Runs in: the process the user started. */
#include "cli/boot_text.h"

#include "base/list.h"
#include "base/slice.h"

#include <string.h>
#include <unistd.h>

/* In double quotes for a shell and for systemd alike. */
static void print_quoted(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text != '\0'; text++) {
        if (strchr("\"\\$`", *text) != NULL)
            fputc('\\', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

static void print_variable(FILE *out, const char *name, const char *value)
{
    fprintf(out, "export %s=", name);
    print_quoted(out, value);
    fputc('\n', out);
}

/* systemd expands "%" and keeps "$" in Environment=. */
static void print_environment(FILE *out, const char *name, const char *value)
{
    fprintf(out, "Environment=\"%s=", name);
    for (; *value != '\0'; value++) {
        if (*value == '%')
            fputc('%', out);
        if (*value == '"' || *value == '\\')
            fputc('\\', out);
        fputc(*value, out);
    }
    fputs("\"\n", out);
}

static void print_systemd(FILE *out, const struct boot *boot)
{
    fprintf(out,
            "[Unit]\nDescription=Apps run by Pelayan\nAfter=network.target\n\n"
            "[Service]\nType=notify\nNotifyAccess=main\n"
            "ExecStart=%s resurrect --no-daemon\nKillMode=mixed\nDelegate=yes\nTimeoutStopSec=60\n"
            "Restart=on-failure\nLimitNOFILE=infinity\n",
            boot->program);
    if (boot->user != NULL)
        fprintf(out, "User=%s\n", boot->user);
    print_environment(out, "PELAYAN_HOME", boot->home);
    print_environment(out, "PATH", boot->path);
    fprintf(out, "\n[Install]\nWantedBy=%s\n",
            boot->own_manager ? "default.target" : "multi-user.target");
}

/* supervise-daemon starts the runner again should it end by itself. */
static void print_openrc(FILE *out, const struct boot *boot)
{
    fputs("#!/sbin/openrc-run\ndescription=\"Apps run by Pelayan\"\n"
          "supervisor=supervise-daemon\ncommand=",
          out);
    print_quoted(out, boot->program);
    fputs("\ncommand_args=\"resurrect --no-daemon\"\nretry=\"SIGTERM/60/SIGKILL/5\"\n", out);
    if (boot->user != NULL)
        fprintf(out, "command_user=\"%s\"\n", boot->user);
    print_variable(out, "PELAYAN_HOME", boot->home);
    print_variable(out, "PATH", boot->path);
    fputs("\ndepend() {\n    need localmount\n    use net logger dns\n}\n", out);
}

static void print_init_script(FILE *out, const struct boot *boot)
{
    fprintf(out,
            "#!/bin/sh\n"
            "### BEGIN INIT INFO\n"
            "# Provides:          %s\n"
            "# Required-Start:    $local_fs $remote_fs $network\n"
            "# Required-Stop:     $local_fs $remote_fs $network\n"
            "# Default-Start:     2 3 4 5\n"
            "# Default-Stop:      0 1 6\n"
            "# Short-Description: Apps run by Pelayan\n"
            "### END INIT INFO\n\n",
            boot->name);
    print_variable(out, "PELAYAN_HOME", boot->home);
    print_variable(out, "PATH", boot->path);
    fputs("program=", out);
    print_quoted(out, boot->program);
    fputs("\n\nrun() {\n", out);
    if (boot->user == NULL)
        fputs("    \"$program\" \"$@\"\n", out);
    else
        fprintf(out, "    su -s /bin/sh -c 'exec \"$0\" \"$@\"' %s -- \"$program\" \"$@\"\n",
                boot->user);
    fputs("}\n\ncase \"$1\" in\n"
          "start) run resurrect ;;\n"
          "stop) run kill ;;\n"
          "restart | force-reload) run kill && run resurrect ;;\n"
          "reload) run reload all ;;\n"
          "status) run ls ;;\n"
          "*) echo \"usage: $0 start|stop|restart|reload|status\" >&2; exit 2 ;;\n"
          "esac\n",
          out);
}

static const struct boot_system systems[] = {
    {.name = "systemd",
     .others = "ubuntu centos centos6 debian amazon arch",
     .sign = "/run/systemd/system",
     .folder = "/etc/systemd/system",
     .suffix = ".service",
     .mode = 0644,
     .links = {"/etc/systemd/system/multi-user.target.wants/"},
     .print = print_systemd},
    {.name = "openrc",
     .others = "gentoo alpine",
     .sign = "/sbin/openrc-run",
     .folder = "/etc/init.d",
     .suffix = "",
     .mode = 0755,
     .links = {"/etc/runlevels/default/"},
     .print = print_openrc},
    {.name = "sysv",
     .others = "systemv init upstart",
     .sign = "/etc/init.d",
     .folder = "/etc/init.d",
     .suffix = "",
     .mode = 0755,
     .links = {"/etc/rc2.d/S99", "/etc/rc3.d/S99", "/etc/rc4.d/S99", "/etc/rc5.d/S99",
               "/etc/rc0.d/K01", "/etc/rc1.d/K01", "/etc/rc6.d/K01"},
     .print = print_init_script},
};

const struct boot_system *boot_find(const char *name)
{
    for (size_t i = 0; i < COUNT(systems); i++) {
        const struct boot_system *one = &systems[i];

        if (name == NULL ? access(one->sign, F_OK) == 0
                         : strcmp(one->name, name) == 0 || slice_has_word(one->others, name))
            return one;
    }
    return NULL;
}
