#ifndef _CLIENT_VERSION_H_INCLUDED_
#define _CLIENT_VERSION_H_INCLUDED_


/* as debian/changelog has it */

#define CLIENT_VERSION  "0.5.0"


#endif /* _CLIENT_VERSION_H_INCLUDED_ */
