/* Telling the service manager how we are (sd_notify's protocol), when NOTIFY_SOCKET names one.
 * Runs in: master. */
#pragma once

/* "READY=1", "RELOADING=1", "STOPPING=1"... Lost silently when there is nobody to tell. RELOADING
 * gets the clock that goes with it. */
void notify(const char *state);
