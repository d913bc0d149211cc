/*
 * Parses the file of users on stdin and prints what is in it, for
 * t/03-forward-users.t.  With a number N as its argument, allocations fail
 * after N of them; what follows are names to look up.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dump.h"
#include "ngx_prom_users.h"


int
main(int argc, char **argv)
{
    int                     i, rc;
    char                   *text;
    size_t                  len;
    uint32_t                n;
    dump_memory_t           memory;
    ngx_prom_users_t        users;
    const ngx_prom_user_t  *user;

    memset(&memory, 0, sizeof(memory));
    memory.left = argc > 1 ? atoi(argv[1]) : 8;

    text = dump_read(stdin, &len);

    memset(&users, 0xff, sizeof(users));
    users.alloc = dump_alloc;
    users.error = dump_error;
    users.data = &memory;

    rc = ngx_prom_users_parse(&users, text, len);

    for (n = 0; rc != -1 && n < users.count; n++) {
        printf("%.*s %s\n", (int) users.users[n].name.len,
               users.users[n].name.data, users.users[n].hash.data);
    }

    printf("rc=%d\n", rc);

    for (i = 2; rc == 0 && i < argc; i++) {
        user = ngx_prom_users_find(&users, argv[i], strlen(argv[i]));

        printf("%s: %s\n", argv[i],
               user ? user->hash.data : "nobody");
    }

    dump_free(&memory);
    free(text);

    return 0;
}
