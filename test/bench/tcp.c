/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TCP in bulk between two Linux guests, with marks for a counter outside (count.c) around what is measured.
 *
 *   tcp send MIB             to whoever connects: 8 MiB, in which the connection gets up to its speed, and MIB more
 *   tcp receive ADDRESS MIB  the same from there; the marks are around the MIB
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT 5001
#define MIB (1UL << 20)
#define BEFORE (8 * MIB)
#define AT_ONCE (128UL << 10)

/* See ops.c; this name is no string's address, and no other program's. */
#define MARK() __asm__ volatile(".byte 0x0f, 0x1f, 0x80; .long 0x100001" : : : "memory")
#define MARK_END() __asm__ volatile(".byte 0x0f, 0x1f, 0x80; .long 1" : : : "memory")

static char buffer[AT_ONCE];

static int fail(const char *what)
{
	perror(what);
	return 1;
}

static unsigned long least(unsigned long a, unsigned long b)
{
	return a < b ? a : b;
}

static int send_bulk(unsigned long bytes)
{
	struct sockaddr_in own = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int listener = socket(AF_INET, SOCK_STREAM, 0), to;

	if (bind(listener, (struct sockaddr *)&own, sizeof(own)) || listen(listener, 1))
		return fail("FAIL: listen");
	to = accept(listener, NULL, NULL);
	for (unsigned long left = BEFORE + bytes; left;) {
		ssize_t sent = send(to, buffer, least(left, AT_ONCE), 0);

		if (sent <= 0)
			return fail("FAIL: send");
		left -= (unsigned long)sent;
	}
	/* Until the other one has all of it. */
	return recv(to, buffer, 1, 0) == 0 ? 0 : fail("FAIL: the end");
}

static int receive(int from, unsigned long bytes)
{
	for (unsigned long left = bytes; left;) {
		ssize_t came = recv(from, buffer, least(left, AT_ONCE), 0);

		if (came <= 0)
			return fail("FAIL: receive");
		left -= (unsigned long)came;
	}
	return 0;
}

static int receive_bulk(const char *address, unsigned long bytes)
{
	struct sockaddr_in other = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int from = -1, failed;

	inet_pton(AF_INET, address, &other.sin_addr);
	for (int tries = 0;; tries++) {
		from = socket(AF_INET, SOCK_STREAM, 0);
		if (!connect(from, (struct sockaddr *)&other, sizeof(other)))
			break;
		close(from);
		if (tries == 600)
			return fail("FAIL: connect");
		usleep(100000);
	}
	if (receive(from, BEFORE))
		return 1;
	MARK();
	failed = receive(from, bytes);
	MARK_END();
	if (!failed)
		printf("received %lu MiB\n", bytes / MIB);
	return failed;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "send"))
		return send_bulk(strtoul(argv[2], NULL, 10) * MIB);
	if (argc == 4 && !strcmp(argv[1], "receive"))
		return receive_bulk(argv[2], strtoul(argv[3], NULL, 10) * MIB);
	fprintf(stderr, "usage: tcp send MIB | tcp receive ADDRESS MIB\n");
	return 2;
}
