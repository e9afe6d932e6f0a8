/* Completion. Runs in: the process the user started. */
#include "cli/completion.h"

#include "base/list.h"
#include "base/slice.h"
#include "cli/app_args.h"
#include "cli/cli.h"
#include "cli/home.h"

#include <stdio.h>
#include <string.h>

/* Which flags a command takes; one that is not here takes none of apps'. */
static const struct {
    const char *commands; /* separated by blanks */
    unsigned groups;
} groups[] = {
    {"start restart reload", ARGS_SPECS}, {"logs", ARGS_LOGS},     {"startup unstartup", ARGS_BOOT},
    {"serve", ARGS_SERVE | ARGS_SPECS},   {"delete", ARGS_DELETE}, {"hosts", ARGS_HOSTS},
    {"save resurrect", ARGS_STATE},       {"send", ARGS_SEND},
};

static void print_word(void *context, const char *word)
{
    fprintf(context, "%s\n", word);
}

void completion_flags(const char *command)
{
    for (size_t i = 0; i < COUNT(groups); i++) {
        if (slice_has_word(groups[i].commands, command))
            app_args_each(groups[i].groups, print_word, stdout);
    }
}

static void print_commands(void)
{
    for (const struct cli_command *command = cli_commands; command->name != NULL; command++)
        puts(command->name);
}

static void print_apps(void)
{
    json_t *list = NULL;
    json_t *instance;
    const char *last = "";
    size_t index;

    home_ask("list", json_object(), HOME_IF_RUNNING, &list);
    json_array_foreach(list, index, instance)
    {
        const char *name = json_string_value(json_object_get(instance, "name"));

        if (name != NULL && strcmp(name, last) != 0)
            puts(name);
        last = name == NULL ? last : name;
    }
    json_decref(list);
}

/* What may stand at the last word: the script of the shell asks with the words before it. */
static int complete(int argc, char **argv)
{
    const char *current = argc > 1 ? argv[argc - 1] : "";

    if (argc <= 2)
        print_commands();
    else if (current[0] == '-')
        completion_flags(cli_other_name(argv[1]));
    else
        print_apps();
    return 0;
}

static const struct {
    const char *shell;
    const char *script;
    const char *how;
} scripts[] = {
    {"bash",
     "_pelayan() {\n"
     "    local words\n"
     "    words=$(pelayan completion words \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null)\n"
     "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\")\n"
     "}\n"
     "complete -o default -F _pelayan pelayan\n",
     "pelayan completion bash > ~/.local/share/bash-completion/completions/pelayan"},
    {"zsh",
     "#compdef pelayan\n"
     "_pelayan() {\n"
     "    local -a found\n"
     "    found=(${(f)\"$(pelayan completion words \"${(@)words[2,CURRENT]}\" 2>/dev/null)\"})\n"
     "    compadd -a found || _files\n"
     "}\n"
     "compdef _pelayan pelayan\n",
     "pelayan completion zsh > a folder of $fpath, as _pelayan"},
    {"fish",
     "function __pelayan_words\n"
     "    set -l before (commandline -opc) (commandline -ct)\n"
     "    pelayan completion words $before[2..-1] 2>/dev/null\n"
     "end\n"
     "complete -c pelayan -a '(__pelayan_words)'\n",
     "pelayan completion fish > ~/.config/fish/completions/pelayan.fish"},
};

int completion_command(const struct run_options *options, int argc, char **argv)
{
    (void)options;
    if (argc > 1 && strcmp(argv[1], "words") == 0)
        return complete(argc - 1, argv + 1);
    for (size_t i = 0; argc == 2 && i < COUNT(scripts); i++) {
        if (strcmp(scripts[i].shell, argv[1]) == 0) {
            fputs(scripts[i].script, stdout);
            return 0;
        }
    }
    fputs("usage: pelayan completion bash|zsh|fish\n", stderr);
    for (size_t i = 0; i < COUNT(scripts); i++)
        fprintf(stderr, "  %s\n", scripts[i].how);
    return 1;
}
