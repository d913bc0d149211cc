/*
 * Opens a PAM session as sshd does, and then tries to listen:
 *
 *     pam_open CONFDIR AUTH_INFO CONNECTION PORT...
 *
 * Prints what PAM said, and "PORT yes" or "PORT no" a line.  The stack is
 * short, and signals come all the time.  With PAM_OPEN_STAY in its environment
 * it leads a group, has a child, and stays, as sshd does.
 */


#define _GNU_SOURCE

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <security/pam_appl.h>


static char  **pam_open_argv;


static int
pam_open_converse(int n, const struct pam_message **messages,
    struct pam_response **responses, void *data)
{
    (void) n;
    (void) messages;
    (void) responses;
    (void) data;

    return PAM_CONV_ERR;
}


static void
pam_open_signal(int signal)
{
    (void) signal;
}


static int
pam_open_fds(void)
{
    int   n;
    DIR  *dp;

    dp = opendir("/proc/self/fd");

    for (n = 0; dp && readdir(dp); n++) { /* void */ }

    if (dp) {
        closedir(dp);
    }

    return n;
}


static void
pam_open_listen(const char *port)
{
    int                 fd;
    struct sockaddr_in  in;

    memset(&in, 0, sizeof(in));
    in.sin_family = AF_INET;
    in.sin_port = htons((uint16_t) atoi(port));
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    fd = socket(AF_INET, SOCK_STREAM, 0);

    printf("%s %s\n", port,
           bind(fd, (struct sockaddr *) &in, sizeof(in)) ? "no" : "yes");

    close(fd);
}


static void *
pam_open_run(void *data)
{
    int               rc, fds;
    char            **arg, *text;
    pam_handle_t     *pamh;
    struct pam_conv   conv;

    (void) data;

    conv = (struct pam_conv) { .conv = pam_open_converse };
    arg = pam_open_argv;

    if (pam_start_confdir("sshd", "monitoring", &conv, arg[1], &pamh)
        != PAM_SUCCESS)
    {
        puts("pam_start failed");
        return NULL;
    }

    if (asprintf(&text, "SSH_AUTH_INFO_0=%s", arg[2]) == -1
        || pam_putenv(pamh, text) != PAM_SUCCESS)
    {
        puts("pam_putenv failed");
        return NULL;
    }

    free(text);

    if (asprintf(&text, "SSH_CONNECTION=%s", arg[3]) == -1
        || pam_putenv(pamh, text) != PAM_SUCCESS)
    {
        puts("pam_putenv failed");
        return NULL;
    }

    free(text);

    fds = pam_open_fds();
    rc = pam_open_session(pamh, 0);

    printf("%s\n", rc == PAM_SUCCESS ? "success" : "failure");

    if (pam_open_fds() != fds) {
        puts("descriptors are left");
    }

    for (arg += 4; *arg; arg++) {
        pam_open_listen(*arg);
    }

    (void) pam_end(pamh, rc);

    return NULL;
}


int
main(int argc, char **argv)
{
    pthread_t         thread;
    pthread_attr_t    attr;
    struct sigaction  sa;
    struct itimerval  timer;

    if (argc < 4) {
        return 2;
    }

    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = pam_open_signal;
    sigaction(SIGALRM, &sa, NULL);

    memset(&timer, 0, sizeof(timer));
    timer.it_interval.tv_usec = timer.it_value.tv_usec = 20000;
    setitimer(ITIMER_REAL, &timer, NULL);

    if (getenv("PAM_OPEN_STAY")) {
        setpgid(0, 0);
    }

    setvbuf(stdout, NULL, _IOLBF, 0);
    pam_open_argv = argv;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 65536);

    if (pthread_create(&thread, &attr, pam_open_run, NULL)) {
        return 2;
    }

    pthread_join(thread, NULL);

    if (getenv("PAM_OPEN_STAY")) {
        (void) fork();

        for ( ;; ) {
            pause();
        }
    }

    return 0;
}
