/* The app runner's commands on the control socket: {"command":"app","do":"start", ...}.
 * Runs in: runner's loop. */
#pragma once

struct apps;
struct control_request;

/* Answers with a JSON `result`, at once or when it has happened. */
void app_command(struct apps *apps, struct control_request *request);
