# Each target calls a script; "make help" lists them.

.PHONY: help image package run stop test versions bench soak

help:
	@echo "make run      build all, then show a host behind NAT being scraped"
	@echo "make stop     stop and remove what make run started"
	@echo "make image    build the image monitoring-proxy"
	@echo "make package  build the Debian packages, into packages/"
	@echo "make test     run the whole suite; ONLY=t/10-route.t runs one file"
	@echo "make versions test the module with each release's nginx: a table"
	@echo "make bench    measure the module side by side with plain nginx"
	@echo "make soak     scrape for long, looking for leaks"

image:
	@scripts/image

package:
	@scripts/package packages

run:
	@scripts/run

stop:
	@scripts/stop

test:
	@scripts/test $(ONLY)

versions:
	@scripts/versions

bench:
	@bench/run

soak:
	@scripts/soak
