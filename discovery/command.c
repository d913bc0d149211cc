/*
 * The command has a group of its own, so that what it has started ends with it
 * when its time is over.
 */


#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "loop.h"


#define COMMAND_OUTPUT  4096      /* bytes of it; what follows is dropped */


static int command_input(str_t input);
static int command_spawn(char *const *argv, int in, int out);
static void command_read(void *data, uint32_t events);
static void command_ended(void *data, uint32_t events);
static void command_over(void *data);
static void command_late(void *data);
static void command_close(void);
static void command_drop(loop_event_t *ev);


extern char             **environ;

static pid_t              command_pid;
static command_done_pt    command_done;
static buffer_t           command_said;
static reason_t           command_why;
static int                command_status;
static int                command_was_late;

static loop_event_t   command_output = { -1, command_read, NULL };
static loop_event_t   command_process = { -1, command_ended, NULL };
static loop_timer_t   command_timer = { .handler = command_late };
static loop_work_t    command_work = { .handler = command_over };


int
command_start(char *const *argv, str_t input, int64_t msec,
    command_done_pt done, reason_t why)
{
    int  in, out[2], error;

    in = -1;
    out[0] = -1;
    out[1] = -1;

    if (pipe2(out, O_CLOEXEC) == -1
        || fcntl(out[0], F_SETFL, O_NONBLOCK) == -1)
    {
        goto failed;
    }

    in = command_input(input);

    if (in == -1) {
        goto failed;
    }

    if (command_spawn(argv, in, out[1]) == -1) {
        goto failed;
    }

    command_process.fd = (int) syscall(SYS_pidfd_open, command_pid, 0);
    command_output.fd = out[0];

    if (command_process.fd == -1
        || loop_add(&command_process, EPOLLIN) == -1
        || loop_add(&command_output, EPOLLIN) == -1)
    {
        error = errno;
        command_stop();
        errno = error;

        out[0] = -1;
        goto failed;
    }

    close(in);
    close(out[1]);

    command_done = done;
    command_was_late = 0;

    buffer_clear(&command_said);
    loop_set(&command_timer, msec);

    return 0;

failed:

    (void) reason(why, "%.*s: %s", REASON_TEXT, argv[0], strerror(errno));

    if (in != -1) {
        close(in);
    }

    if (out[0] != -1) {
        close(out[0]);
    }

    if (out[1] != -1) {
        close(out[1]);
    }

    return -1;
}


/* in memory, so that it needs neither a writer nor a directory */

static int
command_input(str_t input)
{
    int      fd;
    size_t   done;
    ssize_t  n;

    fd = memfd_create("input", MFD_CLOEXEC);

    for (done = 0; fd != -1 && done < input.len; done += (size_t) n) {
        n = pwrite(fd, input.start + done, input.len - done, (off_t) done);

        if (n == -1) {
            close(fd);
            fd = -1;
        }
    }

    return fd;
}


static int
command_spawn(char *const *argv, int in, int out)
{
    int                          rc;
    sigset_t                     none, usual;
    posix_spawnattr_t            attr;
    posix_spawn_file_actions_t   files;

    (void) sigemptyset(&none);
    (void) sigemptyset(&usual);
    (void) sigaddset(&usual, SIGPIPE);

    if (posix_spawnattr_init(&attr) != 0) {
        errno = ENOMEM;
        return -1;
    }

    if (posix_spawn_file_actions_init(&files) != 0) {
        (void) posix_spawnattr_destroy(&attr);
        errno = ENOMEM;
        return -1;
    }

    (void) posix_spawnattr_setsigmask(&attr, &none);
    (void) posix_spawnattr_setsigdefault(&attr, &usual);
    (void) posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK
                                           | POSIX_SPAWN_SETSIGDEF
                                           | POSIX_SPAWN_SETPGROUP);

    rc = posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);

    if (rc == 0) {
        rc = posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
    }

    if (rc == 0) {
        rc = posix_spawn_file_actions_adddup2(&files, out, STDERR_FILENO);
    }

    if (rc == 0) {
        rc = posix_spawn(&command_pid, argv[0], &files, &attr, argv, environ);
    }

    (void) posix_spawn_file_actions_destroy(&files);
    (void) posix_spawnattr_destroy(&attr);

    if (rc) {
        command_pid = 0;
        errno = rc;
        return -1;
    }

    return 0;
}


int
command_is_running(void)
{
    return command_pid || command_work.queued;
}


static void
command_read(void *data, uint32_t events)
{
    char     text[COMMAND_OUTPUT];
    size_t   room;
    ssize_t  n;

    (void) data;
    (void) events;

    n = read(command_output.fd, text, sizeof(text));

    if (n > 0) {
        room = COMMAND_OUTPUT - command_said.len;
        buffer_add(&command_said, text, (size_t) n < room ? (size_t) n : room);

    } else if (n == 0 || errno != EAGAIN) {
        command_drop(&command_output);
    }
}


static void
command_ended(void *data, uint32_t events)
{
    int        status;

    (void) data;
    (void) events;

    /* what it has left in the pipe, but nothing of what it has left running */

    command_read(NULL, 0);

    (void) kill(-command_pid, SIGKILL);
    (void) waitpid(command_pid, &status, 0);
    command_pid = 0;

    command_close();

    if (command_was_late) {
        (void) reason(command_why, "it took too long");

    } else if (WIFSIGNALED(status)) {
        (void) reason(command_why, "it was ended by signal %d",
                      WTERMSIG(status));

    } else if (command_said.len == 0) {
        (void) reason(command_why, "it ended with status %d and said nothing",
                      WEXITSTATUS(status));
    }

    command_status = status;

    /* the next one has the same events, of which some may be due */

    loop_later(&command_work);
}


static void
command_over(void *data)
{
    int  said;

    (void) data;

    said = !command_was_late && WIFEXITED(command_status);

    if (said && WEXITSTATUS(command_status) == 0) {
        command_done(NULL, 1);

    } else {
        command_done(said && command_said.len ? command_said.start
                                              : command_why, said);
    }
}


static void
command_late(void *data)
{
    (void) data;

    command_was_late = 1;
    (void) kill(-command_pid, SIGKILL);
}


void
command_stop(void)
{
    if (command_pid) {
        (void) kill(-command_pid, SIGKILL);
        (void) waitpid(command_pid, NULL, 0);
        command_pid = 0;
    }

    command_close();
    loop_never(&command_work);
    buffer_free(&command_said);
}


static void
command_close(void)
{
    loop_unset(&command_timer);

    command_drop(&command_output);
    command_drop(&command_process);
}


static void
command_drop(loop_event_t *ev)
{
    if (ev->fd != -1) {
        (void) loop_remove(ev);
        close(ev->fd);
        ev->fd = -1;
    }
}


int
command_find(buffer_t *path, const char *name, reason_t why)
{
    size_t       len;
    const char  *dir;

    if (strchr(name, '/')) {

        if (access(name, X_OK) == -1) {
            return reason(why, "%.*s: %s", REASON_TEXT, name,
                          strerror(errno));
        }

        buffer_text(path, name);

        return path->failed ? reason(why, "out of memory") : 0;
    }

    dir = getenv("PATH");

    for (dir = dir ? dir : "/usr/local/bin:/usr/bin:/bin";
         *dir;
         dir += len + (dir[len] == ':'))
    {
        len = strcspn(dir, ":");

        buffer_clear(path);
        buffer_add(path, dir, len);
        buffer_format(path, "%s%s", len ? "/" : "./", name);

        if (path->failed) {
            return reason(why, "out of memory");
        }

        if (access(path->start, X_OK) == 0) {
            return 0;
        }
    }

    return reason(why, "%.*s: not found in PATH; install it, or say"
                  " where it is", REASON_TEXT, name);
}
