#!/usr/bin/perl

# t/03-discovery-base.t: whatever base people have, the discovery's job is added
# to it, or it is told where and why it can't be
#
# In unit/base-cases.txt "<job>" stands for the job that is added, and "(not
# Prometheus')" is a base that is YAML, but that Prometheus refuses.

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


open my $cases, '<', "$FindBin::Bin/unit/base-cases.txt" or die "cases: $!\n";

for (cases($cases)) {
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

    my @files = map { "$dir/made-$_.yaml" } 0 .. $#made;
    spew($files[$_], $made[$_][1]) for 0 .. $#made;

    my ($status, $out, $errors) = run('', $promtool, qw(check config
        --syntax-only), @files);

    like("$out$errors", qr/^Checking \Q$files[$_]\E\n SUCCESS: /m,
        "promtool takes it: $made[$_][0]") for 0 .. $#made;
}

done_testing();
