#!/usr/bin/perl

# t/00-mistakes.t: each mistake in a targets file is told with its place
#
# A case is a title, a file, "---" and what is told. <0d> stands for a byte;
# <EOF> for the file's end where no line end is wanted.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/unit";
use Test::More;

use Unit;

my $tool = tool();

for (cases(\*DATA)) {
    my ($title, $text, $told) = @$_;

    my ($status, $out, $errors) = check($tool, $text);
    is("$status $out$errors", "1 $told", $title);
}

done_testing();

__DATA__
=== an ADDRESS alone
localhost:20001
---
1:1: no NAME after the address; a line is ADDRESS NAME [LABEL=VALUE ...]
=== an ADDRESS with only a comment behind it
  localhost:20001  # external-host-1
---
1:3: no NAME after the address; a line is ADDRESS NAME [LABEL=VALUE ...]
=== ADDRESS and NAME swapped
external-host-1 localhost:20001
---
1:1: address "external-host-1" has no port; it may be left out only after http:// or https://
1:26: name "localhost:20001" has ":" in it; segments are letters, digits and "._~-"
=== a host without a port
localhost a
---
1:1: address "localhost" has no port; it may be left out only after http:// or https://
=== an empty port
localhost: a
---
1:10: port "" is not a number from 1 to 65535 without leading zeros
=== port 0
localhost:0 a
---
1:11: port "0" is not a number from 1 to 65535 without leading zeros
=== port 65536
localhost:65536 a
---
1:11: port "65536" is not a number from 1 to 65535 without leading zeros
=== a port of many digits
localhost:99999999999999999999 a
---
1:11: port "99999999999999999999" is not a number from 1 to 65535 without leading zeros
=== a leading zero in a port
localhost:080 a
---
1:11: port "080" is not a number from 1 to 65535 without leading zeros
=== a sign in a port
localhost:+80 a
---
1:11: port "+80" is not a number from 1 to 65535 without leading zeros
=== a port that is no number
localhost:http a
---
1:11: port "http" is not a number from 1 to 65535 without leading zeros
=== a port with something behind it
localhost:80x a
---
1:11: port "80x" is not a number from 1 to 65535 without leading zeros
=== a list of ports
localhost:80,81 a
---
1:11: port "80,81" is not a number from 1 to 65535 without leading zeros
=== an empty port behind a scheme
http://localhost: a
---
1:17: port "" is not a number from 1 to 65535 without leading zeros
=== no host
:80 a
---
1:1: no host; ADDRESS is HOST:PORT[/BASE] or unix:PATH[:/BASE]
=== nothing behind a scheme
http:// a
---
1:8: no host; ADDRESS is HOST:PORT[/BASE] or unix:PATH[:/BASE]
=== no host in front of a base path
http:///metrics a
---
1:8: no host; ADDRESS is HOST:PORT[/BASE] or unix:PATH[:/BASE]
=== a path alone
/metrics a
---
1:1: no host; ADDRESS is HOST:PORT[/BASE] or unix:PATH[:/BASE]
=== a scheme in capital letters
HTTP://localhost:80 a
---
1:1: scheme "HTTP" is not allowed; "http://" and "https://" are, in lower case
=== a foreign scheme
ftp://localhost:21 a
---
1:1: scheme "ftp" is not allowed; "http://" and "https://" are, in lower case
=== a scheme without its slashes
http:localhost:80 a
---
1:1: "http:localhost:80" has several ":"; an IPv6 address is written as in [::1]:9100
=== one slash behind a scheme
http:/localhost a
---
1:5: port "" is not a number from 1 to 65535 without leading zeros
=== a user and a password, which the message keeps to itself
http://me:secret@localhost:80 a
---
1:17: user information before "@"; ADDRESS is HOST:PORT without it
=== a user without a scheme
me@localhost:80 a
---
1:3: user information before "@"; ADDRESS is HOST:PORT without it
=== a query
localhost:80/metrics?a=b a
---
1:21: path "/metrics?a=b" has "?" in it; a query or fragment is not allowed, other bytes are written as %XX
=== a query without a path
http://localhost?a=b a
---
1:17: path "?a=b" has "?" in it; a query or fragment is not allowed, other bytes are written as %XX
=== a fragment
localhost:80/metrics#a a
---
1:21: path "/metrics#a" has "#" in it; a query or fragment is not allowed, other bytes are written as %XX
=== a fragment without a path
localhost:80#a a
---
1:13: path "#a" has "#" in it; a query or fragment is not allowed, other bytes are written as %XX
=== two dots in a base path
localhost:80/a/../b a
---
1:13: path "/a/../b" has ".." in it; it is /SEGMENT[/SEGMENT ...]
=== two dots at the end of a base path
localhost:80/a/.. a
---
1:13: path "/a/.." has ".." in it; it is /SEGMENT[/SEGMENT ...]
=== one dot in a base path
localhost:80/./a a
---
1:13: path "/./a" has "." in it; it is /SEGMENT[/SEGMENT ...]
=== an empty segment in a base path
localhost:80/a//b a
---
1:13: path "/a//b" has an empty segment in it; it is /SEGMENT[/SEGMENT ...]
=== two slashes at the end of a base path
localhost:80/a// a
---
1:13: path "/a//" has an empty segment in it; it is /SEGMENT[/SEGMENT ...]
=== a base path of two slashes
localhost:80// a
---
1:13: path "//" has an empty segment in it; it is /SEGMENT[/SEGMENT ...]
=== a bad escape in a base path
localhost:80/a%2 a
---
1:15: path "/a%2" has "%" in it; a query or fragment is not allowed, other bytes are written as %XX
=== an escape of other digits in a base path
localhost:80/%gg a
---
1:14: path "/%gg" has "%" in it; a query or fragment is not allowed, other bytes are written as %XX
=== a quote in a base path
localhost:80/a"b a
---
1:15: path "/a\"b" has "\"" in it; a query or fragment is not allowed, other bytes are written as %XX
=== a backslash in a base path
localhost:80/a\b a
---
1:15: path "/a\\b" has "\\" in it; a query or fragment is not allowed, other bytes are written as %XX
=== UTF-8 in a base path
localhost:80/caf<c3><a9> a
---
1:17: path "/caf\xc3\xa9" has "\xc3" in it; a query or fragment is not allowed, other bytes are written as %XX
=== three octets
127.0.1:80 a
---
1:1: "127.0.1" is not an IPv4 address; it is four numbers from 0 to 255 without leading zeros
=== five octets
127.0.0.0.1:80 a
---
1:1: "127.0.0.0.1" is not an IPv4 address; it is four numbers from 0 to 255 without leading zeros
=== an octet of 256
127.0.0.256:80 a
---
1:1: "127.0.0.256" is not an IPv4 address; it is four numbers from 0 to 255 without leading zeros
=== an octet with a leading zero, which may be octal
127.0.0.01:80 a
---
1:1: "127.0.0.01" is not an IPv4 address; it is four numbers from 0 to 255 without leading zeros
=== an octet of many digits
127.0.0.99999999999999999999:80 a
---
1:1: "127.0.0.99999999999999999999" is not an IPv4 address; it is four numbers from 0 to 255 without leading zeros
=== an address as one number
2130706433:80 a
---
1:1: "2130706433" is not an IPv4 address; it is four numbers from 0 to 255 without leading zeros
=== an address as one hexadecimal number
0x7f000001:80 a
---
1:1: "0x7f000001" is not an IPv4 address; it is four numbers from 0 to 255 without leading zeros
=== hexadecimal octets
0X7F.0.0.0x1:80 a
---
1:1: "0X7F.0.0.0x1" is not an IPv4 address; it is four numbers from 0 to 255 without leading zeros
=== an address with a dot at the end
127.0.0.1.:80 a
---
1:1: "127.0.0.1." is not an IPv4 address; it is four numbers from 0 to 255 without leading zeros
=== a network
10.0.0.0/8 a
---
1:1: address "10.0.0.0/8" has no port; it may be left out only after http:// or https://
=== IPv6 without brackets
::1:9100 a
---
1:1: "::1:9100" has several ":"; an IPv6 address is written as in [::1]:9100
=== IPv6 without a closing bracket
[::1:9100 a
---
1:1: "[" is not closed; an IPv6 address is written as in [::1]:9100
=== IPv6 in brackets that isn't
[::1::2]:9100 a
---
1:1: "[::1::2]" is not an IPv6 address; it is written as in [::1]:9100
=== IPv4 in brackets
[127.0.0.1]:9100 a
---
1:1: "[127.0.0.1]" is not an IPv6 address; it is written as in [::1]:9100
=== empty brackets
[]:9100 a
---
1:1: "[]" is not an IPv6 address; it is written as in [::1]:9100
=== IPv6 with a zone
[fe80::1%eth0]:9100 a
---
1:1: "[fe80::1%eth0]" is not an IPv6 address; it is written as in [::1]:9100
=== IPv6 longer than any
[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]:9100 a
---
1:1: "[0000:0000:0000:0000:0000:0000:0000:0000:0000:00..." is not an IPv6 address; it is written as in [::1]:9100
=== something between bracket and port
[::1]x:9100 a
---
1:6: "x:9100" after "]"; ":PORT" is allowed
=== IPv6 without a port
[::1] a
---
1:1: address "[::1]" has no port; it may be left out only after http:// or https://
=== a space in a host, so the rest is taken for NAME
my host:80 a
---
1:1: address "my" has no port; it may be left out only after http:// or https://
1:8: name "host:80" has ":" in it; segments are letters, digits and "._~-"
1:12: "a" has no "="; after NAME come LABEL=VALUE, with spaces LABEL="VALUE"
=== an underscore is fine in a host, an asterisk isn't
*.example_1.com:80 a
---
1:1: host "*.example_1.com" has "*" in it; a host is letters, digits and ".-_"
=== a host in UTF-8
b<c3><bc>cher.example:80 a
---
1:2: host "b\xc3\xbccher.example" has "\xc3" in it; a host is letters, digits and ".-_"
=== an empty part of a host
a..b:80 a
---
1:1: host "a..b" has a part of 0 bytes between dots; 1 to 63 are allowed
=== a dot in front of a host
.a:80 a
---
1:1: host ".a" has a part of 0 bytes between dots; 1 to 63 are allowed
=== a dot as host
.:80 a
---
1:1: host "." has a part of 0 bytes between dots; 1 to 63 are allowed
=== two dots at the end of a host
a..:80 a
---
1:1: host "a.." has a part of 0 bytes between dots; 1 to 63 are allowed
=== a relative unix path
unix:run/e.sock a
---
1:1: unix path "run/e.sock" does not begin with "/"; it is unix:PATH[:/BASE]
=== no unix path
unix: a
---
1:1: unix path "" does not begin with "/"; it is unix:PATH[:/BASE]
=== a unix path behind a scheme's slashes only
http://unix:e.sock a
---
1:8: unix path "e.sock" does not begin with "/"; it is unix:PATH[:/BASE]
=== nothing behind the second colon of a unix path
unix:/run/e.sock: a
---
1:17: ":" after a unix path is not followed by "/"; it is unix:PATH[:/BASE]
=== a port behind a unix path
unix:/run/e.sock:9100 a
---
1:17: ":" after a unix path is not followed by "/"; it is unix:PATH[:/BASE]
=== two dots in the base path of a unix socket
unix:/run/e.sock:/a/../b a
---
1:18: path "/a/../b" has ".." in it; it is /SEGMENT[/SEGMENT ...]
=== UTF-8 in a unix path
unix:/run/<c3><a9>.sock a
---
1:11: unix path has "\xc3" in it; printable ASCII is allowed
=== unix in capital letters is a host
UNIX:/run/e.sock a
---
1:5: port "" is not a number from 1 to 65535 without leading zeros
=== two dots in a NAME
localhost:20001 a/../b
---
1:17: name "a/../b" has ".." in it; segments are letters, digits and "._~-"
=== two dots as NAME
localhost:20001 ..
---
1:17: name ".." has ".." in it; segments are letters, digits and "._~-"
=== one dot in a NAME
localhost:20001 a/.
---
1:17: name "a/." has "." in it; segments are letters, digits and "._~-"
=== an empty segment in a NAME
localhost:20001 a//b
---
1:17: name "a//b" has an empty segment in it; segments are letters, digits and "._~-"
=== a NAME of one slash
localhost:20001 /
---
1:17: name "/" has an empty segment in it; segments are letters, digits and "._~-"
=== a NAME of two slashes
localhost:20001 //
---
1:17: name "//" has an empty segment in it; segments are letters, digits and "._~-"
=== two slashes in front of a NAME
localhost:20001 //a
---
1:17: name "//a" has an empty segment in it; segments are letters, digits and "._~-"
=== two slashes at the end of a NAME
localhost:20001 a//
---
1:17: name "a//" has an empty segment in it; segments are letters, digits and "._~-"
=== a percent sign in a NAME
localhost:20001 a%2fb
---
1:18: name "a%2fb" has "%" in it; segments are letters, digits and "._~-"
=== a question mark in a NAME
localhost:20001 a?b
---
1:18: name "a?b" has "?" in it; segments are letters, digits and "._~-"
=== a hash sign in a NAME is no comment
localhost:20001 a#b
---
1:18: name "a#b" has "#" in it; segments are letters, digits and "._~-"
=== UTF-8 in a NAME
localhost:20001 h<c3><a9>
---
1:18: name "h\xc3\xa9" has "\xc3" in it; segments are letters, digits and "._~-"
=== a colon in a NAME
localhost:20001 a:b
---
1:18: name "a:b" has ":" in it; segments are letters, digits and "._~-"
=== a NAME in quotes
localhost:20001 "a"
---
1:17: name "\"a\"" has "\"" in it; segments are letters, digits and "._~-"
=== a label in NAME's place
localhost:20001 env=prod
---
1:20: name "env=prod" has "=" in it; segments are letters, digits and "._~-"
=== one NAME on two lines
localhost:20001 a
localhost:20002 b
localhost:20003 a
---
3:17: name "a" is on line 1 already
=== one NAME, once with slashes around it
localhost:20001 a/b

localhost:20003 /a/b/
---
3:18: name "a/b" is on line 1 already
=== one NAME on three lines
localhost:20001 a
localhost:20002 a
localhost:20003 a
---
2:17: name "a" is on line 1 already
3:17: name "a" is on line 1 already
=== a NAME whose first line has another mistake
localhost:0 a
localhost:20001 a
---
1:11: port "0" is not a number from 1 to 65535 without leading zeros
2:17: name "a" is on line 1 already
=== a label without a value
localhost:20001 a env
---
1:19: "env" has no "="; after NAME come LABEL=VALUE, with spaces LABEL="VALUE"
=== words instead of labels
localhost:20001 a this is a text
---
1:19: "this" has no "="; after NAME come LABEL=VALUE, with spaces LABEL="VALUE"
=== a label without a name
localhost:20001 a =prod
---
1:19: label "" does not begin with a letter or "_"
=== a label with nothing behind the equals sign
localhost:20001 a env=
---
1:22: label "env" has no value; an empty one is written as ""
=== a space behind the equals sign
localhost:20001 a env= prod
---
1:22: label "env" has no value; an empty one is written as ""
=== spaces around the equals sign
localhost:20001 a env = prod
---
1:19: "env" has no "="; after NAME come LABEL=VALUE, with spaces LABEL="VALUE"
=== a dash in a label
localhost:20001 a my-env=prod
---
1:21: label "my-env" has "-" in it; a label is letters, digits and "_"
=== a colon in a label
localhost:20001 a a:b=prod
---
1:20: label "a:b" has ":" in it; a label is letters, digits and "_"
=== a digit in front of a label
localhost:20001 a 1env=prod
---
1:19: label "1env" does not begin with a letter or "_"
=== UTF-8 in a label
localhost:20001 a <c3><a9>nv=prod
---
1:19: label "\xc3\xa9nv" has "\xc3" in it; a label is letters, digits and "_"
=== a label in quotes
localhost:20001 a "env"=prod
---
1:19: label "\"env\"" has "\"" in it; a label is letters, digits and "_"
=== labels with commas between them
localhost:20001 a env="prod",team="a"
---
1:29: "," right after the closing quote of "env"; white space is allowed
=== the label job
localhost:20001 a job=node
---
1:19: label "job" is set by Prometheus; names other than job and instance are allowed
=== the label instance
localhost:20001 a instance=x
---
1:19: label "instance" is set by Prometheus; names other than job and instance are allowed
=== the label __address__
localhost:20001 a __address__=x:80
---
1:19: label "__address__" is reserved by "__"; __metrics_path__, __scrape_interval__, __scrape_timeout__ and __param_NAME are allowed
=== the label __scheme__
localhost:20001 a __scheme__=https
---
1:19: label "__scheme__" is reserved by "__"; __metrics_path__, __scrape_interval__, __scrape_timeout__ and __param_NAME are allowed
=== a label with two underscores in front
localhost:20001 a __meta_x=y
---
1:19: label "__meta_x" is reserved by "__"; __metrics_path__, __scrape_interval__, __scrape_timeout__ and __param_NAME are allowed
=== two underscores as label
localhost:20001 a __=y
---
1:19: label "__" is reserved by "__"; __metrics_path__, __scrape_interval__, __scrape_timeout__ and __param_NAME are allowed
=== __param_ without a name
localhost:20001 a __param_=y
---
1:19: label "__param_" is reserved by "__"; __metrics_path__, __scrape_interval__, __scrape_timeout__ and __param_NAME are allowed
=== a label twice
localhost:20001 a env=prod team=x env=test
---
1:35: label "env" is in the line already
=== a label twice with the same value
localhost:20001 a env=prod env=prod
---
1:28: label "env" is in the line already
=== a quote within a bare value
localhost:20001 a env=pr"od
---
1:25: value of "env" has "\"" in it; that is allowed only in double quotes
=== an apostrophe around a value
localhost:20001 a team='data base'
---
1:24: value of "team" has "'" in it; that is allowed only in double quotes
=== a backslash in a bare value
localhost:20001 a env=a\nb
---
1:24: value of "env" has "\\" in it; that is allowed only in double quotes
=== a quote that isn't closed
localhost:20001 a env="prod
---
1:23: value of "env" has no closing quote in its line
=== a quote that is closed on the next line
localhost:20001 a env="pr
od"
---
1:23: value of "env" has no closing quote in its line
2:1: no NAME after the address; a line is ADDRESS NAME [LABEL=VALUE ...]
=== an escaped quote at the end
localhost:20001 a env="prod\"
---
1:23: value of "env" has no closing quote in its line
=== a backslash at the end
localhost:20001 a env="prod\
---
1:23: value of "env" has no closing quote in its line
=== an unknown escape
localhost:20001 a env="pr\tod"
---
1:26: value of "env" has "\" before "t"; \\, \" and \n are allowed
=== an escape of a byte that isn't printable
localhost:20001 a env="pr\<c3><a9>"
---
1:26: value of "env" has "\" before "\xc3"; \\, \" and \n are allowed
=== text right behind the closing quote
localhost:20001 a env="prod"x
---
1:29: "x" right after the closing quote of "env"; white space is allowed
=== a comment right behind the closing quote
localhost:20001 a env="prod"# x
---
1:29: "#" right after the closing quote of "env"; white space is allowed
=== a quote right behind the closing quote
localhost:20001 a env="pr""od"
---
1:27: "\"" right after the closing quote of "env"; white space is allowed
=== a byte that is never UTF-8
localhost:20001 a env=<ff>
---
1:23: value of "env" is not valid UTF-8
=== Latin-1
localhost:20001 a env="caf<e9>"
---
1:23: value of "env" is not valid UTF-8
=== UTF-8 cut short by a quote
localhost:20001 a env="<e2><82>"
---
1:23: value of "env" is not valid UTF-8
=== UTF-8 longer than it needs to be
localhost:20001 a env=<c0><af>
---
1:23: value of "env" is not valid UTF-8
=== three bytes where two would do
localhost:20001 a env=<e0><82><af>
---
1:23: value of "env" is not valid UTF-8
=== a UTF-16 surrogate
localhost:20001 a env=<ed><a0><80>
---
1:23: value of "env" is not valid UTF-8
=== beyond Unicode
localhost:20001 a env=<f4><90><80><80>
---
1:23: value of "env" is not valid UTF-8
=== __metrics_path__ without a slash
localhost:20001 a __metrics_path__=metrics
---
1:36: value of "__metrics_path__" does not begin with "/"
=== an empty __metrics_path__
localhost:20001 a __metrics_path__=""
---
1:36: value of "__metrics_path__" does not begin with "/"
=== an interval of zero
localhost:20001 a __scrape_interval__=0s
---
1:39: value of "__scrape_interval__" is not a duration over zero, such as 30s or 1m30s
=== an interval without a unit
localhost:20001 a __scrape_interval__=30
---
1:39: value of "__scrape_interval__" is not a duration over zero, such as 30s or 1m30s
=== an empty interval
localhost:20001 a __scrape_interval__=""
---
1:39: value of "__scrape_interval__" is not a duration over zero, such as 30s or 1m30s
=== an interval with a fraction
localhost:20001 a __scrape_interval__=1.5s
---
1:39: value of "__scrape_interval__" is not a duration over zero, such as 30s or 1m30s
=== an interval below zero
localhost:20001 a __scrape_interval__=-1s
---
1:39: value of "__scrape_interval__" is not a duration over zero, such as 30s or 1m30s
=== an interval of an unknown unit
localhost:20001 a __scrape_interval__=5min
---
1:39: value of "__scrape_interval__" is not a duration over zero, such as 30s or 1m30s
=== an interval with units in the wrong order
localhost:20001 a __scrape_interval__=30s1m
---
1:39: value of "__scrape_interval__" is not a duration over zero, such as 30s or 1m30s
=== an interval with a unit twice
localhost:20001 a __scrape_interval__=1m1m
---
1:39: value of "__scrape_interval__" is not a duration over zero, such as 30s or 1m30s
=== an interval with a unit in front
localhost:20001 a __scrape_interval__=s
---
1:39: value of "__scrape_interval__" is not a duration over zero, such as 30s or 1m30s
=== an interval of 300 years
localhost:20001 a __scrape_interval__=300y
---
1:39: value of "__scrape_interval__" is not a duration over zero, such as 30s or 1m30s
=== an interval that is small in 64 bits
localhost:20001 a __scrape_interval__=584942418y
---
1:39: value of "__scrape_interval__" is not a duration over zero, such as 30s or 1m30s
=== an interval of too many years in parts
localhost:20001 a __scrape_interval__=292y60w
---
1:39: value of "__scrape_interval__" is not a duration over zero, such as 30s or 1m30s
=== an interval of many digits
localhost:20001 a __scrape_interval__=99999999999999999999ms
---
1:39: value of "__scrape_interval__" is not a duration over zero, such as 30s or 1m30s
=== a timeout of zero
localhost:20001 a __scrape_timeout__=0
---
1:38: value of "__scrape_timeout__" is not a duration over zero, such as 30s or 1m30s
=== a timeout over the interval
localhost:20001 a __scrape_timeout__=31s __scrape_interval__=30s
---
1:62: __scrape_timeout__ is over __scrape_interval__; up to it is allowed
=== a timeout over the interval, behind it
localhost:20001 a __scrape_interval__=30s __scrape_timeout__=30s1ms
---
1:62: __scrape_timeout__ is over __scrape_interval__; up to it is allowed
=== NUL
localhost:20001 a<00>
---
1:18: control character 0x00; the only one allowed is tab
=== a control character in a comment
# <1b>[2J
---
1:3: control character 0x1b; the only one allowed is tab
=== DEL
localhost:20001<7f> a
---
1:16: control character 0x7f; the only one allowed is tab
=== a control character in a quoted value
localhost:20001 a env="<01>"
---
1:24: control character 0x01; the only one allowed is tab
=== CR within a line
localhost:20001<0d>a
---
1:16: carriage return within the line; lines end with LF or CRLF
=== CR alone at the line ends, as old Macs had it
localhost:20001 a<0d>localhost:20002 b<0d>
---
1:18: carriage return within the line; lines end with LF or CRLF
=== CR twice at the line's end
localhost:20001 a<0d><0d>
---
1:18: carriage return within the line; lines end with LF or CRLF
=== a byte order mark at the start, which columns don't count
<ef><bb><bf>localhost:0 a
---
1:11: port "0" is not a number from 1 to 65535 without leading zeros
=== a byte order mark on the second line
localhost:20001 a
<ef><bb><bf>localhost:20002 b
---
2:1: byte order mark; it is allowed only at the start of the file
=== two byte order marks
<ef><bb><bf><ef><bb><bf>localhost:20002 b
---
1:1: byte order mark; it is allowed only at the start of the file
=== a byte order mark in a value
localhost:20001 a env="<ef><bb><bf>"
---
1:24: byte order mark; it is allowed only at the start of the file
=== UTF-16 with its byte order mark
<ff><fe>a<00>:<00>1<00> <00>b<00>
---
1:4: control character 0x00; the only one allowed is tab
=== a vertical tab isn't white space
localhost:20001<0b>a
---
1:16: control character 0x0b; the only one allowed is tab
=== a no-break space isn't white space
localhost:20001<c2><a0>a
---
1:1: no NAME after the address; a line is ADDRESS NAME [LABEL=VALUE ...]
=== a shell script
#!/bin/sh
echo "hello world"
---
2:1: address "echo" has no port; it may be left out only after http:// or https://
2:6: name "\"hello" has "\"" in it; segments are letters, digits and "._~-"
2:13: "world\"" has no "="; after NAME come LABEL=VALUE, with spaces LABEL="VALUE"
=== JSON
[{"targets": ["localhost:9100"]}]
---
1:1: "[" is not closed; an IPv6 address is written as in [::1]:9100
1:14: name "[\"localhost:9100\"]}]" has "[" in it; segments are letters, digits and "._~-"
=== a long token, shortened
localhost:20001 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa?b
---
1:85: name "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa..." has "?" in it; segments are letters, digits and "._~-"
=== mistakes of every part of one line, from left to right
http://h:0 a//b c-d=1 job=x e="\z"
---
1:10: port "0" is not a number from 1 to 65535 without leading zeros
1:12: name "a//b" has an empty segment in it; segments are letters, digits and "._~-"
1:18: label "c-d" has "-" in it; a label is letters, digits and "_"
1:23: label "job" is set by Prometheus; names other than job and instance are allowed
1:32: value of "e" has "\" before "z"; \\, \" and \n are allowed
=== mistakes of several lines, each told
localhost:0 a
localhost:20001 b
localhost:20002 b
localhost:20003 c =
---
1:11: port "0" is not a number from 1 to 65535 without leading zeros
3:17: name "b" is on line 2 already
4:19: label "" does not begin with a letter or "_"
4:19: label "" has no value; an empty one is written as ""
