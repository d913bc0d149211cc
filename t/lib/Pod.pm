package Pod;

# A pod's only container as docker runs it: with the rights, files and variables
# that a rendered manifest gives it, and volumes as the kubelet makes them. What
# has no counterpart here is refused, so that nothing of a manifest is left out
# unseen.

use warnings;
use strict;

use Container qw(directory link_to write_file);
use Proxy;

our @ISA = qw(Proxy);

# of a pod, what is about where it runs, and who knows of it

my %passed_over = map { $_ => 1 } qw(affinity automountServiceAccountToken
    containers enableServiceLinks imagePullSecrets nodeSelector
    priorityClassName serviceAccountName terminationGracePeriodSeconds
    tolerations topologySpreadConstraints);


# Options: pod (a template's spec), objects (as Helm::render has them), secrets
# ({ NAME => { KEY => TEXT } }), image, options (docker's).

sub start {
    my ($class, %o) = @_;

    my ($container) = @{ $o{pod}{containers} };
    my $self = bless { pod => $o{pod}, container => $container,
        data => { secret => $o{secrets} // {}, configMap => {
            map { $_->{metadata}{name} => $_->{data} }
                grep { $_->{kind} eq 'ConfigMap' }
                values %{ $o{objects} } } } }, $class;

    my @options = (@{ $o{options} // [] }, $self->pod_options,
        $self->container_options, $self->volume_options);
    my $run = Container->run(image => $o{image}, options => \@options);

    $self->{name} = $run->{name};

    return $self;
}


sub refuse { die "Pod: nothing here is like $_[0]: $_[1]\n" }


sub pod_options {
    my ($self) = @_;

    for my $key (sort keys %{ $self->{pod} }) {
        my $value = $self->{pod}{$key};

        next if $passed_over{$key} || $key eq 'volumes';

        if ($key eq 'securityContext') {
            security_options($value);
        } else {
            refuse('a pod\'s', $key);
        }
    }

    return;
}


# What a container may do; docker's own profile is the runtime's default.

sub security_options {
    my ($context) = @_;

    my @options;

    for my $key (sort keys %$context) {
        my $value = $context->{$key};

        if ($key eq 'seccompProfile') {
            $value->{type} eq 'RuntimeDefault'
                or refuse('seccomp', $value->{type});
        } elsif ($key eq 'runAsUser') {
            push @options, '--user', $value;
        } elsif ($key eq 'readOnlyRootFilesystem') {
            push @options, '--read-only' if $value;
        } elsif ($key eq 'allowPrivilegeEscalation') {
            push @options, '--security-opt', 'no-new-privileges' if !$value;
        } elsif ($key eq 'capabilities') {
            push @options, map({ ('--cap-drop', $_) } @{ $value->{drop} }),
                map { ('--cap-add', $_) } @{ $value->{add} };
        } else {
            refuse('securityContext', $key);
        }
    }

    return @options;
}


sub bytes {
    my ($quantity) = @_;

    my %unit = (Ki => 1 << 10, Mi => 1 << 20, Gi => 1 << 30);
    my ($number, $unit) = $quantity =~ /^(\d+)([KMG]i)$/
        or refuse('a quantity', $quantity);

    return $number * $unit{$unit};
}


sub container_options {
    my ($self) = @_;

    my %known = map { $_ => 1 } qw(env image imagePullPolicy lifecycle
        livenessProbe name ports readinessProbe resources securityContext
        startupProbe volumeMounts);
    my $container = $self->{container};

    $known{$_} or refuse('a container\'s', $_) for sort keys %$container;

    my $memory = bytes($container->{resources}{limits}{memory});

    return (security_options($container->{securityContext}),
        '--memory', $memory, '--memory-swap', $memory,
        map { ('-e', "$_->{name}=$_->{value}") } @{ $container->{env} // [] });
}


sub volume_options {
    my ($self) = @_;

    my %mount = map { $_->{name} => $_ } @{ $self->{container}{volumeMounts} };
    my @options;

    for my $volume (@{ $self->{pod}{volumes} }) {
        my $mount = delete $mount{$volume->{name}}
            or refuse('a volume without a mount', $volume->{name});
        my $path = $mount->{mountPath};

        refuse('subPath', $path) if $mount->{subPath};

        if (my $empty = $volume->{emptyDir}) {
            push @options, '--tmpfs', "$path:mode=0777,size="
                . bytes($empty->{sizeLimit});
            next;
        }

        my $directory = $self->{volumes}{$volume->{name}} = directory();
        chmod 0777, $directory;
        $self->fill($volume);
        push @options, '-v', "$directory:$path"
            . ($mount->{readOnly} ? ':ro' : '');
    }

    refuse('a mount without a volume', $_) for keys %mount;

    return @options;
}


# The files of a volume: PATH => [ TEXT, MODE ]. As with the kubelet, it is an
# error if an object or a key isn't there, unless it is optional.

sub files {
    my ($self, $volume) = @_;

    my %files;

    if (my $secret = $volume->{secret}) {
        my $data = $self->{data}{secret}{$secret->{secretName}}
            or refuse('a Secret', $secret->{secretName});

        return { map { $_ => [ $data->{$_}, $secret->{defaultMode} ] }
            keys %$data };
    }

    my $projected = $volume->{projected}
        or refuse('a volume', $volume->{name});

    for my $source (@{ $projected->{sources} }) {
        my ($kind) = keys %$source;
        my $object = $source->{$kind};
        my $data = $self->{data}{$kind}{$object->{name}};

        for my $item (@{ $object->{items} }) {
            my $text = $data->{$item->{key}};

            if (!defined $text) {
                next if $object->{optional};
                refuse("a $kind", "$object->{name}, $item->{key}");
            }

            $files{$item->{path}} = [ $text,
                $item->{mode} // $projected->{defaultMode} ];
        }
    }

    return \%files;
}


# A directory of its own for each state, and one link that is changed at once.

sub fill {
    my ($self, $volume) = @_;

    my $directory = $self->{volumes}{$volume->{name}};
    my $files = $self->files($volume);
    my $state = '..' . ++$self->{states};

    mkdir "$directory/$state", 0755 or die "$directory/$state: $!\n";

    for my $path (sort keys %$files) {
        my ($text, $mode) = @{ $files->{$path} };
        my ($top) = $path =~ m{^([^/]+)};

        if ($path ne $top) {
            mkdir "$directory/$state/$top", 0755;
        }

        write_file("$directory/$state/$path", $text, $mode);
        link_to("..data/$top", "$directory/$top") unless -l "$directory/$top";
    }

    link_to($state, "$directory/..data");
}


# Another content of an object, as the kubelet passes it on: update(KIND, NAME,
# KEY => TEXT ...), KIND being configMap or secret.

sub update {
    my ($self, $kind, $name, %data) = @_;

    $self->{data}{$kind}{$name} = { %{ $self->{data}{$kind}{$name} }, %data };

    for my $volume (@{ $self->{pod}{volumes} }) {
        $self->fill($volume) if $volume->{projected};
    }
}


# Whether the kubelet would find the probe right: startupProbe and so on.

sub probe {
    my ($self, $name) = @_;

    my $get = $self->{container}{$name}{httpGet};
    my ($port) = grep { $_->{name} eq $get->{port} }
        @{ $self->{container}{ports} };

    return eval { Http::request($port->{containerPort},
        host => $self->address, path => $get->{path})->{status} == 200 };
}


1;
