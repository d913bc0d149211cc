/*
 * What endpoints answer: credentials, or why there are none.
 */


#ifndef _TOKEN_ANSWER_H_INCLUDED_
#define _TOKEN_ANSWER_H_INCLUDED_


#include <stdint.h>
#include <time.h>

#include "str.h"


#define ANSWER_MAX        (1024 * 1024)   /* bytes of an answer */
#define ANSWER_TOKEN_MAX  16384
#define ANSWER_KEY_MAX    1024
#define ANSWER_ASSUMED    300000          /* ms, where it doesn't say */


typedef struct {
    buffer_t  token;              /* for AWS, that of the session */
    buffer_t  access_key;
    buffer_t  secret_key;
    int64_t   left;               /* ms that it is valid for, > 0 */
} answer_t;


/*
 * These return 0, or -1 with the reason, which has no text of the answer in
 * it; answer_free() frees in both cases.  now is the time of the day.
 */

int answer_token(answer_t *a, str_t text, time_t now, reason_t why);
int answer_aws(answer_t *a, str_t text, time_t now, reason_t why);
int answer_sts(answer_t *a, str_t text, time_t now, reason_t why);

void answer_free(answer_t *a);

/* appends what an answer that is none has to say, in whatever bytes */

void answer_error(buffer_t *error, str_t text);

/* jansson is to wipe what it frees; to be called first */

void answer_init(void);


#endif /* _TOKEN_ANSWER_H_INCLUDED_ */
