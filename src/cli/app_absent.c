/* What pm2 has and Pelayan has not. Runs in: the process the user started. */
#include "cli/app_absent.h"

#include "base/list.h"
#include "base/slice.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *names; /* separated by blanks */
    const char *why;
} absent[] = {
    {"link unlink monitor unmonitor open plus register login logout",
     "it needs pm2's hosted service, and Pelayan talks to none; \"pelayan monit\" shows the same"
     " apps here"},
    {"install module:install module:update module:generate uninstall module:uninstall package"
     " publish module:publish autoinstall",
     "modules of pm2 run inside its daemon; rotation of logs, their most frequent use, is built in"
     " (log_max_size, log_max_age, log_total_size)"},
    {"logrotate", "logs are rotated by Pelayan itself: see log_max_size, log_max_age,"
                  " log_total_size and log_compress in docs/apps.md"},
    {"set get conf config multiset unset",
     "there are no settings besides the keys of apps: put them into an ecosystem file"
     " (\"pelayan init\" writes one)"},
    {"profile:mem profile:cpu install-otel uninstall-otel inspect",
     "nothing is put into the app: start it with --node-args \"--inspect\" or \"--cpu-prof\""},
    {"trigger", "actions need pm2's library inside the app: \"pelayan send NAME TEXT\" and"
                " \"pelayan sendSignal SIGNAL NAME\" reach it without one"},
    {"pull forward backward",
     "versions of an app's folder are not looked at: \"pelayan deploy\" updates and reverts"},
    {"examples", "\"pelayan help\" lists what there is, docs/apps.md shows how it is used"},
    {"create autostart", "\"pelayan init\" writes an ecosystem file to begin with"},
    {"deepUpdate updatePM2", "\"pelayan update\" exchanges the program under running apps"},
};

bool app_absent_explain(const char *name)
{
    for (size_t i = 0; i < COUNT(absent); i++) {
        if (!slice_has_word(absent[i].names, name))
            continue;
        fprintf(stderr, "pelayan: there is no \"%s\" here: %s\n", name, absent[i].why);
        return true;
    }
    return false;
}
