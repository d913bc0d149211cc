#!/usr/bin/perl

# t/03-tree.t: the shape of the sources, and docs that name what there is

use warnings;
use strict;

use File::Find;
use FindBin;
use Test::More;

my $root = "$FindBin::Bin/..";
my $line_max = 79;
my $file_max = 800;

my @files;


sub slurp {
    my ($file) = @_;

    open my $fh, '<:raw', "$root/$file" or die "$file: $!\n";
    local $/;

    return <$fh> // '';
}


sub matching {
    my ($pattern) = @_;

    return grep { $_ =~ $pattern } @files;
}


# Names found in files: the first group of each match.

sub names {
    my ($pattern, @in) = @_;

    my %names;
    $names{$_} = 1 for map { slurp($_) =~ /$pattern/g } @in;

    return [ sort keys %names ];
}


# The tables and headings of a page: what stands in the first cell, in
# backquotes.

sub documented {
    my ($pattern, @pages) = @_;

    return names(qr/^(?:\||\#+)\s*`($pattern)`/m, @pages);
}


find({ no_chdir => 1, wanted => sub {
    if (m{/\.(?:git|run|test)$}) {
        $File::Find::prune = 1;
        return;
    }

    push @files, substr($_, length "$root/") if -f && !-l && -T;
} }, $root);

@files = sort @files;


# shape

for my $file (grep { !m{^t/fuzz/corpus} } @files) {
    my $lines = () = slurp($file) =~ /\n/g;

    cmp_ok($lines, '<=', $file_max, "$file has at most $file_max lines");
}

for my $file (matching(qr/\.[ch]$/)) {
    my @lines = split /\n/, slurp($file);

    my @long = grep { length $lines[$_ - 1] > $line_max } 1 .. @lines;
    is("@long", '', "$file: no line over $line_max columns");

    my @tabs = grep { $lines[$_ - 1] =~ /\t/ } 1 .. @lines;
    is("@tabs", '', "$file: no tab");

    my @trailing = grep { $lines[$_ - 1] =~ /\s$/ } 1 .. @lines;
    is("@trailing", '', "$file: no space at the end of a line");
}


# docs

my @c = matching(qr{^ngx_prom_proxy_module/.*\.c$});
my @pages = matching(qr{^(?:README\.md|docs/.*\.md)$});
my @image = grep { $_ !~ /\.md$/ } matching(qr{^(?:rootfs/|Dockerfile$)});

is_deeply(documented(qr/prom_\w+/, @pages),
    names(qr/^    \{ ngx_string\("(prom_\w+)"\),\n\s+NGX_/m, @c),
    'every directive is documented, and no other');

is_deeply(documented(qr/\$prom_\w+/, @pages),
    [ map { "\$$_" } @{ names(qr/^    \{ ngx_string\("(prom_\w+)"\), (?!\n)/m,
        @c) } ],
    'every nginx variable is documented, and no other');

# those of the query proxy, MONITORING_PROXY_QUERY_, are in its own table

is_deeply(documented(qr/MONITORING_PROXY_(?!QUERY_)\w+/, 'README.md'),
    [ grep { !/_QUERY_|_QUERY$/ }
        @{ names(qr/\b(MONITORING_PROXY_[A-Z_]*[A-Z])\b/, @image) } ],
    'every variable of the environment is documented, and no other');

is_deeply(documented(qr/MONITORING_PROXY_QUERY_\w+/, 'docs/query.md'),
    names(qr/"(MONITORING_PROXY_QUERY_\w+)"/, 'token/settings.c'),
    'every variable of the query proxy is documented, and no other');

# each file that README's tables promise is one that the image knows

for my $path (@{ documented(qr{/[^`]+}, 'README.md') }) {
    my $dir = $path =~ s{[^/]*$}{}r;

    ok(scalar(grep { index(slurp($_), $path) >= 0
        || index(slurp($_), $dir) >= 0 } @image),
        "the image knows $path");
}

# the version, which is in two places

my ($version) = slurp('ngx_prom_proxy_module/ngx_http_prom_metrics.h')
    =~ /NGX_PROM_VERSION\s+"([^"]+)"/;
like(slurp('debian/changelog'), qr/\A\S+ \(\Q$version\E\)/,
    'the package has the version of the module');


# where a directive is allowed; one name may be several modules'

my %context = (MAIN => 'main', HTTP_MAIN => 'http', HTTP_SRV => 'server',
    HTTP_LOC => 'location', HTTP_UPS => 'upstream', STREAM_MAIN => 'stream',
    STREAM_SRV => 'stream server', STREAM_UPS => 'stream upstream');
my %allowed;

for my $file (@c) {
    my $text = slurp($file);

    while ($text =~ /^    \{ ngx_string\("(prom_\w+)"\),\n\s+(NGX_.*?),$/msg) {
        my ($name, $flags) = ($1, $2);

        push @{ $allowed{$name} }, map { $context{$_} }
            $flags =~ /\bNGX_((?:(?:HTTP|STREAM)_)?(?:MAIN|SRV|LOC|UPS))_CONF/g;
    }
}

for my $name (sort keys %allowed) {
    my ($cell) = map { slurp($_)
        =~ /^### `\Q$name\E`\n.*?^\| \*\*Context\*\* \| (.*?) \|$/ms } @pages;

    is_deeply([ sort split /, /, ($cell // '') =~ s/`//gr ],
        [ sort @{ $allowed{$name} } ], "docs have the contexts of $name");
}

# what stands in the block prom_forward; "include" is nginx's own

my ($block) = slurp('docs/module.md')
    =~ /^#### The block `prom_forward`\n(.*?)^#/ms;

is_deeply([ sort(($block // '') =~ /^\| `(\w+)/mg) ],
    [ sort 'include', @{ names(qr/^    \{ ngx_string\("(\w+)"\), /m,
        'ngx_prom_proxy_module/ngx_prom_forward_settings.c') } ],
    'docs/module.md has the settings of the block prom_forward');

# own metrics, and their types; a long name is in two pieces

my %metrics = map { slurp($_) =~ /ngx_string\("(monitoring_proxy_[^)]+)"\),
    \n\ +NGX_HTTP_PROM_METRICS_(\w+),/xg } @c;
my %described = slurp('docs/metrics.md')
    =~ /^\| `(monitoring_proxy_\w+)` \| (\w+) \|/mg;

is_deeply([ map { "$_ $described{$_}" } sort keys %described ],
    [ sort map { (s/"\s+"//r) . lc " $metrics{$_}" } keys %metrics ],
    'every own metric is documented with its type, and no other');

# the discovery's flags and metrics; of a name in two pieces both

my @discovery = matching(qr{^discovery/.*\.c$});
my $discovery = 'docs/discovery-program.md';
my ($flags) = slurp('discovery/options.c') =~ /options_known\[\] = (.*?)^\};/ms;
my ($told) = slurp($discovery) =~ /^## Flags\n(.*?)^## /ms;

is_deeply([ sort $told =~ /^\| `--([^=`]+)/mg ],
    [ sort $flags =~ /^    \{ "([^"]+)"/mg ],
    "$discovery has every flag, and no other");

my $prefix = 'monitoring_proxy_discovery_';
my %counted;

for (map { slurp($_) } @discovery) {
    my $text = s/"\s+"//gr =~ s/KUBERNETES_PREFIX "/"${prefix}kubernetes_/gr;
    %counted = (%counted, $text =~ /"($prefix\w+)",\s*"(counter|gauge)"/g,
        map { $_ => 'gauge' } $text =~ /exposition_build\(page, "(\w+)"/g);
}

is_deeply({ slurp($discovery) =~ /^\| `($prefix\w+)` \| (\w+) \|/mg },
    \%counted, "$discovery has every metric with its type, and no other");

# links lead somewhere

for my $page (@pages) {
    my $dir = $page =~ s{[^/]*$}{}r;

    for my $link (slurp($page) =~ /\]\((?!https?:|\#)([^)#]+)/g) {
        ok(-e "$root/$dir$link", "$page: $link exists");
    }
}

# a script that people call says how when asked

for my $script (grep { -f } glob "$root/scripts/*") {
    my $name = $script =~ s{.*/}{}r;
    ok(-x $script, "scripts/$name can be run");
    like(slurp("scripts/$name"), qr{^#!/\S+\n#\n# .*scripts/$name}s,
        "scripts/$name says how it is called");
}

done_testing();
