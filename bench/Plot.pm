package Plot;

# Plots as SVG in the directory BENCH_PLOTS; none are made without it.

use warnings;
use strict;

use Exporter qw(import);
use Bench;

our @EXPORT = qw(plot plot_time);

# told apart by who sees no red or green, and by the points' shapes

my @colours = qw(0072b2 d55e00 009e73 999999);
my @points  = (7, 5, 9, 11);


# plot(NAME, TITLE, "WHAT, UNIT", SCALE, [LINE, [TARGETS, VALUE], ...], ...):
# by the number of targets; the SCALE of the values is "logscale y", or
# "yrange [0:]"

sub plot
{
    my ($name, $title, $axis, $scale, @lines) = @_;

    draw($name, <<"END", 'linespoints', @lines);
set title '$title' font ',16'
set xlabel 'targets'
set ylabel '$axis'
set logscale x
set $scale
set xrange [7:70000]
set xtics ('10' 10, '100' 100, '1,000' 1000, '10,000' 10000, '50,000' 50000)
END
}


# plot_time(NAME, TITLE, WHAT, [LINE, [SECONDS, VALUE], ...], ...)

sub plot_time
{
    my ($name, $title, $axis, @lines) = @_;

    draw($name, <<"END", 'lines', @lines);
set title '$title' font ',16'
set xlabel 'seconds'
set ylabel '$axis'
set xrange [0:]
set yrange [0:]
END
}


sub draw
{
    my ($name, $settings, $style, @lines) = @_;

    my $directory = $ENV{BENCH_PLOTS} or return;

    my $script = <<"END";
set terminal svg size 760,440 background rgb 'white' font 'sans-serif,14'
set output '$directory/$name.svg'
${settings}set format y '%g'
set grid xtics ytics linecolor rgb '#dddddd'
set border 3 linecolor rgb '#888888'
set tics nomirror textcolor rgb '#222222'
set key outside bottom center horizontal Left reverse maxcols 1 height 1
END

    my @plots;

    for my $i (0 .. $#lines) {
        my ($line, @values) = @{ $lines[$i] };

        $script .= "\$line$i << EOD\n"
            . join('', map { "$_->[0] $_->[1]\n" } @values) . "EOD\n";

        my $points = $style eq 'lines' ? ''
            : "pointsize 0.8 pointtype $points[$i] ";

        push @plots, "\$line$i title \"$line\" with $style linewidth 2 "
            . "${points}linecolor rgb '#$colours[$i]'";
    }

    write_file("$name.gnuplot", $script . 'plot ' . join(', ', @plots) . "\n");
    command('gnuplot', work() . "/$name.gnuplot");
}


1;
