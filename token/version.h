#ifndef _TOKEN_VERSION_H_INCLUDED_
#define _TOKEN_VERSION_H_INCLUDED_


/* as client/version.h has it */

#define TOKEN_VERSION  "0.5.0"


#endif /* _TOKEN_VERSION_H_INCLUDED_ */
