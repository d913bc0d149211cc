#!/usr/bin/perl

# t/03-discovery-base.t: whatever base people have, the discovery's job is added
# to it, or it is told where and why it can't be
#
# In the cases behind __DATA__, "<job>" stands for the job that is added, and
# "(not Prometheus')" is a base that is YAML, but that Prometheus refuses.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/unit";
use Test::More;

use Unit;

my $dumper = base_dumper();
my $promtool = $ENV{MP_PROMTOOL};
my $dir = workdir();
my $job = qr{^([ ]*)-\ job_name:\ "monitoring-proxy"(\r?\n)
    \1\ \ file_sd_configs:\2\1\ \ \ \ -\ files:\ \["lists/\*\.json"\]\2}mx;
my @made;


# What is made of a base, or what is told.

sub made {
    my ($base, @proxies) = @_;

    my ($status, $out, $errors) = run($base, $dumper, 'lists', @proxies);

    return $status ? "status $status\n$errors" : $out;
}


# The same with "<job>", and bytes as cases have them.

sub shown {
    my ($made) = @_;

    $made =~ s/$job/$1<job>$2/;
    $made .= "<EOF>\n" if $made !~ /\n\z/;
    $made =~ s/([^\n -~])/sprintf '<%02x>', ord $1/ge;

    return $made;
}


for (cases(\*DATA)) {
    my ($title, $base, $told) = @$_;

    my $made = made($base);
    is(shown($made), $told, $title);

    next if $made =~ /\Astatus/ || $title =~ /\(not Prometheus'\)/;

    push @made, [ $title, $made ];
}


# PushProx proxies

my $pushprox = made("scrape_configs: []\n", 'a=10.0.0.1:8080',
    "x\"\n- job_name: y=[::1]:80");

is($pushprox =~ s/$job//r, <<'EOF', 'a job for each PushProx proxy');
scrape_configs:   
  - job_name: "pushprox-a"
    proxy_url: "http://10.0.0.1:8080"
    file_sd_configs:
      - files: ["lists/pushprox/a.json"]
    relabel_configs:
      - target_label: job
        replacement: pushprox
  - job_name: "pushprox-x%22%0A-%20job_name%3A%20y"
    proxy_url: "http://[::1]:80"
    file_sd_configs:
      - files: ["lists/pushprox/x%22%0A-%20job_name%3A%20y.json"]
    relabel_configs:
      - target_label: job
        replacement: pushprox
EOF

push @made, [ 'PushProx proxies', $pushprox ];

my $own = "scrape_configs:\n- job_name: monitoring-proxy\n"
    . "- job_name: pushprox-a\n";

is(made($own, 'a=b:1'), $own, '... but those that the base has');
is(made("scrape_configs: []\n", "a\n  x: y=b\"\n#:1") =~ s/$job//r, <<'EOF',
scrape_configs:   
  - job_name: "pushprox-a%0A%20%20x%3A%20y"
    proxy_url: "http://b\x22\x0a#:1"
    file_sd_configs:
      - files: ["lists/pushprox/a%0A%20%20x%3A%20y.json"]
    relabel_configs:
      - target_label: job
        replacement: pushprox
EOF
    'nothing gets out of its quotes');
is(made("scrape_configs: []\n", '..=b:1') =~ m{pushprox/(.*)\.json} && $1,
    '%2E.', 'nor out of its directory');


# directories

for my $path ('/a*', '/[a]', '/a?', 'a\\b', "a\nb", "\xc3\xa4") {
    my ($status, undef, $errors) = run('x: y', $dumper, $path);

    like($errors, qr/has other characters than printable ASCII less/,
        'no lists in ' . shown($path));
}

my (undef, $quoted) = run('x: y', $dumper, '/a "b" #c: {d}');
like($quoted, qr{files: \["/a \\x22b\\x22 #c: \{d\}/\*\.json"\]},
    'what else a path may have is quoted');


# sizes

for my $n (100, 5_000) {
    my $jobs = join '', map { "  - job_name: job-$_\n    static_configs:\n"
        . "      - targets: ['h\xc3\xb6st-$_:9100']\n" } 1 .. $n;

    my $made = made("scrape_configs:\n$jobs# end\n");

    ok($made =~ s/$job// && $made eq "scrape_configs:\n$jobs# end\n",
        "$n jobs, of which each stays as it is");
}

like(made('[' x 100_000), qr/^status 1\nbase:1:/, 'brackets without an end');
like(made("a: b\n" x 100_000), qr/^a: b\n/, 'many lines');


# what was made passes

SKIP: {
    skip 'no promtool', scalar @made if !$promtool;

    for (@made) {
        my ($title, $made) = @$_;

        spew("$dir/made.yaml", $made);

        my ($status, $out, $errors) = run('', $promtool, qw(check config
            --syntax-only), "$dir/made.yaml");

        is($status, 0, "promtool takes it: $title") or diag($out, $errors);
    }
}

done_testing();

__DATA__
=== a usual one
global:
  scrape_interval: 15s   # often

scrape_configs:
  - job_name: "a"
    static_configs:
      - targets: ['a:1']   # one

  # another
  - job_name: b
    metrics_path: /x
alerting:
  alertmanagers: []
---
global:
  scrape_interval: 15s   # often

scrape_configs:
  - job_name: "a"
    static_configs:
      - targets: ['a:1']   # one

  # another
  - job_name: b
    metrics_path: /x
  <job>
alerting:
  alertmanagers: []
=== a list that isn't indented
scrape_configs:
- job_name: a
  static_configs:
  - targets: [a:1]
rule_files:
- x.yaml
---
scrape_configs:
- job_name: a
  static_configs:
  - targets: [a:1]
<job>
rule_files:
- x.yaml
=== a list that is indented by much
scrape_configs:
        - job_name: a
---
scrape_configs:
        - job_name: a
        <job>
=== dashes on lines of their own
scrape_configs:
  -
    job_name: a
  -

    job_name: b
---
scrape_configs:
  -
    job_name: a
  -

    job_name: b
  <job>
=== a mapping that is indented
  scrape_configs:
    - job_name: a
  global: {}
---
  scrape_configs:
    - job_name: a
    <job>
  global: {}
=== no list
global:
  scrape_interval: 15s
---
global:
  scrape_interval: 15s
scrape_configs:
  <job>
=== no list, in an indented mapping
  global:
    scrape_interval: 15s
---
  global:
    scrape_interval: 15s
  scrape_configs:
    <job>
=== no list, and comments behind
# in front
global:
  scrape_interval: 15s  # same
  # of it

# behind
---
# in front
global:
  scrape_interval: 15s  # same
  # of it
scrape_configs:
  <job>

# behind
=== nothing in the list
scrape_configs:
global: {}
---
scrape_configs:
  <job>
global: {}
=== nothing in the list, with comments
scrape_configs:   # none yet
  # - job_name: a

global: {}
---
scrape_configs:   # none yet
  # - job_name: a
  <job>

global: {}
=== the list alone
scrape_configs:<EOF>
---
scrape_configs:
  <job>
=== null
scrape_configs: null # x
---
scrape_configs:      # x
  <job>
=== null as ~
scrape_configs: ~
---
scrape_configs:  
  <job>
=== null on the next line
scrape_configs:
  Null
global: {}
---
scrape_configs:
      
  <job>
global: {}
=== an empty list in brackets
scrape_configs: []
---
scrape_configs:   
  <job>
=== ... with a comment between them
scrape_configs: [   # none
  # ]
  ] # so far
global: {}
---
scrape_configs:     # none
  # ]
    # so far
  <job>
global: {}
=== keys in quotes
"global": {}
'scrape_configs':
  - "job_name": 'a'
---
"global": {}
'scrape_configs':
  - "job_name": 'a'
  <job>
=== the list's key once more, elsewhere
scrape_configs:
  - job_name: scrape_configs
    params:
      scrape_configs: [a]
---
scrape_configs:
  - job_name: scrape_configs
    params:
      scrape_configs: [a]
  <job>
=== no newline at the end
scrape_configs:
  - job_name: a<EOF>
---
scrape_configs:
  - job_name: a
  <job>
=== no newline at the end, behind a comment
scrape_configs:
  - job_name: a # b<EOF>
---
scrape_configs:
  - job_name: a # b
  <job>
=== CRLF
global: {}<0d>
scrape_configs:<0d>
  - job_name: a<0d>
# end<0d>
---
global: {}<0d>
scrape_configs:<0d>
  - job_name: a<0d>
  <job><0d>
# end<0d>
=== CRLF, and no list
global: {}<0d>
---
global: {}<0d>
scrape_configs:<0d>
  <job><0d>
=== a BOM
<ef><bb><bf>scrape_configs:
  - job_name: a
global: {}
---
<ef><bb><bf>scrape_configs:
  - job_name: a
  <job>
global: {}
=== letters of several bytes
global:
  external_labels: { a: "<c3><a4><e2><82><ac><f0><9f><98><80>" }  # <c3><b6>
scrape_configs:
  - job_name: <c3><a4><c3><a4> # <e2><82><ac>
  # <f0><9f><98><80>
rule_files: [ <c3><a4> ]
---
global:
  external_labels: { a: "<c3><a4><e2><82><ac><f0><9f><98><80>" }  # <c3><b6>
scrape_configs:
  - job_name: <c3><a4><c3><a4> # <e2><82><ac>
  # <f0><9f><98><80>
  <job>
rule_files: [ <c3><a4> ]
=== trailing spaces and blank lines
scrape_configs:  
  - job_name: a   

  
global: {}
---
scrape_configs:  
  - job_name: a   
  <job>

  
global: {}
=== comments of the last job are behind it
scrape_configs:
  - job_name: a
    static_configs:
      - targets:
          - a:1
          # - b:1
      # - targets: [c:1]
  # - job_name: d
# of global
global: {}
---
scrape_configs:
  - job_name: a
    static_configs:
      - targets:
          - a:1
          # - b:1
      # - targets: [c:1]
  # - job_name: d
  <job>
# of global
global: {}
=== a text of lines at the end
scrape_configs:
  - job_name: a
    metrics_path: |-
      /x

  # comment
global: {}
---
scrape_configs:
  - job_name: a
    metrics_path: |-
      /x

  # comment
  <job>
global: {}
=== a text that keeps its lines at the end
scrape_configs:
  - job_name: a
    metrics_path: |+
      /x


global: {}
---
scrape_configs:
  - job_name: a
    metrics_path: |+
      /x


  <job>
global: {}
=== a text of lines that looks like a list
scrape_configs:
  - job_name: a
    metrics_path: >-
      scrape_configs:
       - job_name: monitoring-proxy
---
scrape_configs:
  - job_name: a
    metrics_path: >-
      scrape_configs:
       - job_name: monitoring-proxy
  <job>
=== a value on two lines
scrape_configs:
  - job_name: a
    metrics_path: "/x
  y"
global: {}
---
scrape_configs:
  - job_name: a
    metrics_path: "/x
  y"
  <job>
global: {}
=== a bare value on two lines
scrape_configs:
  - job_name: a
     b
       c # d
global: {}
---
scrape_configs:
  - job_name: a
     b
       c # d
  <job>
global: {}
=== a value that isn't there at the end
scrape_configs:
  - job_name: a
    static_configs:
# x
global: {}
---
scrape_configs:
  - job_name: a
    static_configs:
  <job>
# x
global: {}
=== keys with question marks
? scrape_configs
: - job_name: a
  - ? job_name
    : b
? global
: {}
---
? scrape_configs
: - job_name: a
  - ? job_name
    : b
  <job>
? global
: {}
=== (not Prometheus') a key without a value at the end
scrape_configs:
  - job_name: a
    ? b
global: {}
---
scrape_configs:
  - job_name: a
    ? b
  <job>
global: {}
=== (not Prometheus') a job that is nothing
scrape_configs:
  - job_name: a
  -
global: {}
---
scrape_configs:
  - job_name: a
  -
  <job>
global: {}
=== (not Prometheus') lists in the list
scrape_configs:
- - - a
    - b
global: {}
---
scrape_configs:
- - - a
    - b
<job>
global: {}
=== jobs in braces
scrape_configs:
  - {job_name: a, static_configs: [{targets: ['a:1'],
    labels: {}}]}
global: {}
---
scrape_configs:
  - {job_name: a, static_configs: [{targets: ['a:1'],
    labels: {}}]}
  <job>
global: {}
=== JSON in the list
scrape_configs:
  - { "job_name": "a", "static_configs": [ { "targets": [ "a:1" ]
    }
  ]
    }
---
scrape_configs:
  - { "job_name": "a", "static_configs": [ { "targets": [ "a:1" ]
    }
  ]
    }
  <job>
=== anchors and aliases in jobs
scrape_configs:
  - &first
    job_name: a
    relabel_configs: &relabel
      - target_label: x
        replacement: y
  - <<: *first
    job_name: b
    relabel_configs: *relabel
global: {}
---
scrape_configs:
  - &first
    job_name: a
    relabel_configs: &relabel
      - target_label: x
        replacement: y
  - <<: *first
    job_name: b
    relabel_configs: *relabel
  <job>
global: {}
=== an alias at the end
scrape_configs:
  - job_name: a
    relabel_configs: &r []
  - job_name: b
    relabel_configs: *r # c
global: {}
---
scrape_configs:
  - job_name: a
    relabel_configs: &r []
  - job_name: b
    relabel_configs: *r # c
  <job>
global: {}
=== the list has an anchor
scrape_configs: &jobs
  - job_name: a
global: {}
---
scrape_configs: &jobs
  - job_name: a
  <job>
global: {}
=== the list has an anchor, a tag, and nothing in it
scrape_configs: &jobs !!seq # x
  []
global: {}
---
scrape_configs: &jobs !!seq # x
    
  <job>
global: {}
=== null has an anchor
scrape_configs: &jobs null
---
scrape_configs: &jobs     
  <job>
=== a document's start and end
%YAML 1.1
<2d>--
global: {}
...
# end
---
%YAML 1.1
---
global: {}
scrape_configs:
  <job>
...
# end
=== the end of a document behind the list
<2d>--
scrape_configs:
  - job_name: a
...
---
---
scrape_configs:
  - job_name: a
  <job>
...
=== there is a job of this name
scrape_configs:
  - job_name: monitoring-proxy
    scrape_interval: 5s
---
scrape_configs:
  - job_name: monitoring-proxy
    scrape_interval: 5s
=== there is one among others, by other means
scrape_configs:
- job_name: a
- scrape_interval: 5s
  params: { job_name: [x] }
  "job_name": "monitoring\x2dproxy"
- {job_name: b}
---
scrape_configs:
- job_name: a
- scrape_interval: 5s
  params: { job_name: [x] }
  "job_name": "monitoring\x2dproxy"
- {job_name: b}
=== the name isn't a job's
global:
  external_labels: { job_name: monitoring-proxy }
scrape_configs:
  - job_name: monitoring-proxy-2
    params: { job_name: [monitoring-proxy] }
---
global:
  external_labels: { job_name: monitoring-proxy }
scrape_configs:
  - job_name: monitoring-proxy-2
    params: { job_name: [monitoring-proxy] }
  <job>
=== empty
<EOF>
---
status 1
base:1:1: it is empty; "scrape_configs:" alone would do
=== nothing but comments
# prometheus.yaml

# nothing
---
status 1
base:4:1: it is empty; "scrape_configs:" alone would do
=== nothing but a BOM
<ef><bb><bf><EOF>
---
status 1
base:1:1: it is empty; "scrape_configs:" alone would do
=== a document with nothing in it
# x
<2d>--
---
status 1
base:3:1: it is not a mapping, such as "scrape_configs:" on a line of its own
=== a text
prometheus
---
status 1
base:1:1: it is not a mapping, such as "scrape_configs:" on a line of its own
=== a list
- job_name: a
---
status 1
base:1:1: it is not a mapping, such as "scrape_configs:" on a line of its own
=== JSON
{"scrape_configs": []}
---
status 1
base:1:1: it is in flow style, {...}, where no job can be added; write it as lines of "KEY: VALUE"
=== the list in flow style
global: {}
scrape_configs: [{job_name: a}]
---
status 1
base:2:17: "scrape_configs" is in flow style, [...], where no job can be added; write it as lines that begin with "- "
=== the list is an alias
x: &jobs
  - job_name: a
scrape_configs: *jobs
---
status 1
base:3:17: "scrape_configs" is an alias, to which no job can be added; write the list here
=== the list is a text
scrape_configs: none
---
status 1
base:1:17: "scrape_configs" is not a list, lines that begin with "- "
=== the list is a text that looks like nothing
scrape_configs: ""
---
status 1
base:1:17: "scrape_configs" is not a list, lines that begin with "- "
=== the list is a mapping
scrape_configs:
  job_name: a
---
status 1
base:2:3: "scrape_configs" is not a list, lines that begin with "- "
=== the list is there twice
scrape_configs: []
"scrape_configs":
  - job_name: a
---
status 1
base:2:1: "scrape_configs" is there twice
=== the list may be in what is merged
<<: { scrape_configs: [ { job_name: a } ] }
global: {}
---
status 1
base:1:1: "<<" may have "scrape_configs" in it, which must be a key of its own
=== two documents
scrape_configs:
  - job_name: a
<2d>--
scrape_configs: []
---
status 1
base:3:1: a second document begins, which Prometheus wouldn't read
=== a tab
scrape_configs:
  - job_name: a
<09>static_configs: []
---
status 1
base:3:1: found a tab character that violates indentation
=== a quote without an end
global: {}
scrape_configs:
  - job_name: "a
---
status 1
base:4:1: found unexpected end of stream
=== not indented right
scrape_configs:
  - job_name: a
   metrics_path: /x
---
status 1
base:3:4: did not find expected '-' indicator
=== an alias of nothing that is in the list
scrape_configs:
  - job_name: *
---
status 1
base:2:16: did not find expected alphabetic or numeric character
=== a control character
global: {}
# <c3><a4><01>
---
status 1
base:2:4: control characters are not allowed
=== not UTF-8
global: {}
scrape_configs: # <ff>
---
status 1
base:2:19: invalid leading UTF-8 octet
=== UTF-16
<ff><fe>a<00>:<00> <00>b<00>
---
status 1
base:1:1: invalid leading UTF-8 octet
