#include <stdlib.h>
#include <string.h>

#include "duration.h"


long
duration_parse(const char *text, reason_t why)
{
    char        *end;
    double       n, total;
    unsigned     i;
    const char  *p;

    static const struct {
        const char  *name;
        double       msec;
    } units[] = {
        { "ms", 1 }, { "us", 0.001 }, { "ns", 0.000001 },
        { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }
    };

    total = 0;
    p = strcmp(text, "0") == 0 ? "0s" : text;

    do {
        if (strspn(p, "0123456789.") == 0) {
            goto invalid;
        }

        n = strtod(p, &end);

        for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
            if (strncmp(end, units[i].name, strlen(units[i].name)) == 0) {
                break;
            }
        }

        if (i == sizeof(units) / sizeof(units[0])) {
            goto invalid;
        }

        total += n * units[i].msec;
        p = end + strlen(units[i].name);

    } while (*p);

    if (!(total <= 24 * 3600000.0)) {
        return reason(why, "\"%.*s\" is longer than a day", REASON_TEXT, text);
    }

    return (long) (total + 0.999);

invalid:

    return reason(why, "\"%.*s\" is no duration, as 1m30s or 500ms",
                  REASON_TEXT, text);
}
