#!/usr/bin/perl
# SPDX-License-Identifier: ISC
# netserver.pl PORT FIRST MOST echo|daytime: Perl's Net::Server::PreFork as a contender.
use strict;
use warnings;
use base qw(Net::Server::PreFork);

my ($port, $first, $most, $what) = @ARGV;
@ARGV = ();

sub process_request {
    if ($what eq 'daytime') {
        syswrite STDOUT, scalar(gmtime) . "\r\n";
        return;
    }
    while (sysread STDIN, my $message, 65536) {
        syswrite STDOUT, $message;
    }
}

__PACKAGE__->run(
    port              => "127.0.0.1:$port",
    listen            => 4096,
    min_servers       => $first,
    max_servers       => $most,
    min_spare_servers => $first < $most ? 2 : 0,
    max_spare_servers => $most - 1,
    max_requests      => 1e9,
    log_level         => 0,
);
