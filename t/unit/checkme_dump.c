/*
 * Makes and verifies values of CheckMe, for t/03-forward-checkme.t:
 *
 *     checkme_dump make KEY TARGET TIME
 *     checkme_dump verify KEY VALUE
 */


#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ngx_prom_checkme.h"


int
main(int argc, char **argv)
{
    char        *value;
    size_t       len;
    uint64_t     time;
    const char  *wrong, *target;

    if (argc == 5 && strcmp(argv[1], "make") == 0) {
        len = strlen(argv[3]);

        /* memory of just the size, so that ASan sees a step outside */

        value = malloc(ngx_prom_checkme_len(len) + 1);

        if (value == NULL) {
            return 1;
        }

        len = ngx_prom_checkme_make(value, argv[2], strlen(argv[2]), argv[3],
                                    len, strtoull(argv[4], NULL, 10));

        printf("%.*s\n", (int) len, value);
        free(value);

        return 0;
    }

    if (argc == 4 && strcmp(argv[1], "verify") == 0) {
        len = strlen(argv[3]);
        value = malloc(len ? len : 1);

        if (value == NULL) {
            return 1;
        }

        memcpy(value, argv[3], len);

        wrong = ngx_prom_checkme_verify(value, len, argv[2], strlen(argv[2]),
                                        &time, &target, &len);

        if (wrong) {
            printf("%s\n", wrong);

        } else {
            printf("%" PRIu64 " %.*s\n", time, (int) len, target);
        }

        free(value);

        return 0;
    }

    return 2;
}
