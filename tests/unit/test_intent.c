/* SPDX-License-Identifier: ISC */
/* The question to the manager, with a manager of our own in the same event loop. */
#include <config.h>

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-id128.h>
#include <unistd.h>

#include "master/intent.h"

#define UNIT "/org/freedesktop/systemd1/unit/preforkd_2eservice"
#define JOB  "/org/freedesktop/systemd1/job/42"

enum fault { NONE, FAILS, CLOSES, SILENT, NONSENSE };

/* A place where a manager, or a bus that leads to it, can be asked. */
#define STORED 3

struct place {
	int listener;
	struct sockaddr_un address;
	sd_bus *bus;
	const char *fault_at; /* the method or property */
	enum fault fault;
};

static struct place private, bus;
static const char *job_type; /* or NULL: no job */
static uint32_t kept;        /* descriptors in the store */
static char directory[] = "/tmp/preforkd-intent-XXXXXX";
/* Too large for a stack. */
static struct master master;
static enum intent answered;
static int answers;

/* ---- the manager ---- */

static int reply(sd_bus_message *m, const char *what)
{
	if (strcmp(what, "Hello") == 0)
		return sd_bus_reply_method_return(m, "s", ":1.7");
	if (strcmp(what, "GetUnitByPID") == 0)
		return sd_bus_reply_method_return(m, "o", UNIT);
	if (strcmp(what, "Job") == 0)
		return sd_bus_reply_method_return(m, "v", "(uo)", job_type ? 42 : 0,
						  job_type ? JOB : "/");
	if (strcmp(what, "NFileDescriptorStore") == 0)
		return sd_bus_reply_method_return(m, "v", "u", kept);
	ck_assert_str_eq(what, "JobType");
	return sd_bus_reply_method_return(m, "v", "s", job_type);
}

static int misbehave(struct place *place, sd_bus_message *m)
{
	switch (place->fault) {
	case FAILS:
		return sd_bus_reply_method_errorf(m, SD_BUS_ERROR_ACCESS_DENIED, "no");
	case CLOSES:
		sd_bus_close(place->bus);
		return 1;
	case NONSENSE:
		return sd_bus_reply_method_return(m, "u", 1);
	default:
		return 1;
	}
}

static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct place *place = userdata;
	const char *what = sd_bus_message_get_member(m), *interface;
	uint32_t pid;

	(void)error;
	if (!sd_bus_message_is_method_call(m, NULL, NULL))
		return 0;
	if (strcmp(what, "GetUnitByPID") == 0) {
		ck_assert_int_ge(sd_bus_message_read(m, "u", &pid), 0);
		ck_assert_uint_eq(pid, 0);
	} else if (strcmp(what, "Get") == 0) {
		ck_assert_int_ge(sd_bus_message_read(m, "ss", &interface, &what), 0);
		ck_assert_str_eq(sd_bus_message_get_path(m),
				 strcmp(what, "JobType") == 0 ? JOB : UNIT);
	}
	if (place->fault_at && strcmp(place->fault_at, what) == 0)
		return misbehave(place, m);
	return reply(m, what) < 0 ? -EIO : 1;
}

static int on_connection(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct place *place = userdata;
	int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)source;
	(void)events;
	ck_assert_int_ge(client, 0);
	ck_assert_ptr_null(place->bus);
	ck_assert_int_ge(sd_bus_new(&place->bus), 0);
	ck_assert_int_ge(sd_bus_set_fd(place->bus, client, client), 0);
	ck_assert_int_ge(sd_bus_set_server(place->bus, 1,
					   SD_ID128_MAKE(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,
							 14, 15, 16)),
			 0);
	ck_assert_int_ge(sd_bus_add_filter(place->bus, NULL, on_message, place), 0);
	ck_assert_int_ge(sd_bus_start(place->bus), 0);
	ck_assert_int_ge(sd_bus_attach_event(place->bus, master.event, 0), 0);
	return 0;
}

static void listen_at(struct place *place, const char *name)
{
	place->address.sun_family = AF_UNIX;
	snprintf(place->address.sun_path, sizeof(place->address.sun_path), "%s/%s", directory,
		 name);
	place->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ck_assert_int_eq(
		bind(place->listener, (struct sockaddr *)&place->address, sizeof(place->address)),
		0);
	ck_assert_int_eq(listen(place->listener, 8), 0);
	ck_assert_int_ge(
		sd_event_add_io(master.event, NULL, place->listener, EPOLLIN, on_connection, place),
		0);
}

static void close_place(struct place *place)
{
	sd_bus_close_unref(place->bus);
	unlink(place->address.sun_path);
	close(place->listener);
	*place = (struct place){0};
}

/* ---- who asks ---- */

static void setup(void)
{
	char path[128], address[160];

	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/systemd", directory);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	setenv("XDG_RUNTIME_DIR", directory, 1);
	snprintf(path, sizeof(path), "%s/systemd/notify", directory);
	setenv("NOTIFY_SOCKET", path, 1);
	snprintf(address, sizeof(address), "unix:path=%s/bus", directory);
	setenv("DBUS_SESSION_BUS_ADDRESS", address, 1);
	ck_assert_int_ge(sd_event_new(&master.event), 0);
	listen_at(&private, "systemd/private");
	listen_at(&bus, "bus");
	answers = 0;
	job_type = NULL;
	kept = STORED;
}

static void teardown(void)
{
	char path[128];

	intent_close(&master);
	close_place(&private);
	close_place(&bus);
	master.event = sd_event_unref(master.event);
	snprintf(path, sizeof(path), "%s/systemd", directory);
	ck_assert_int_eq(rmdir(path), 0);
	ck_assert_int_eq(rmdir(directory), 0);
	memcpy(directory + strlen(directory) - 6, "XXXXXX", 6);
}

static void on_answer(struct master *m, enum intent intent)
{
	ck_assert_ptr_eq(m, &master);
	ck_assert_ptr_null(m->question);
	answered = intent;
	answers++;
}

static void assert_answer(enum intent expected)
{

	intent_ask(&master, STORED, on_answer);
	while (answers == 0)
		ck_assert_int_gt(sd_event_run(master.event, UINT64_C(10000000)), 0);
	ck_assert_int_eq(answered, expected);
	/* What comes too late changes nothing. */
	for (int i = 0; i < 20; i++)
		sd_event_run(master.event, 0);
	ck_assert_int_eq(answers, 1);
}

static void remove_place(struct place *place)
{
	ck_assert_int_eq(unlink(place->address.sun_path), 0);
}

static const struct {
	const char *type;
	enum intent intent;
} types[] = {
	{"restart", INTENT_RESTART}, {"try-restart", INTENT_RESTART}, {"stop", INTENT_STOP},
	{"start", INTENT_UNKNOWN},   {"reload", INTENT_UNKNOWN},      {NULL, INTENT_UNKNOWN},
};
#define TYPES ((int)(sizeof(types) / sizeof(*types)))

START_TEST(test_direct)
{
	job_type = types[_i].type;
	remove_place(&bus);
	assert_answer(types[_i].intent);
}
END_TEST

/* What is not kept cannot wait for the next process. */
START_TEST(test_a_store_that_keeps_too_few)
{
	job_type = "restart";
	kept = STORED - 1;
	assert_answer(INTENT_STOP);
}
END_TEST

START_TEST(test_through_the_bus)
{
	job_type = types[_i].type;
	remove_place(&private);
	assert_answer(types[_i].intent);
	ck_assert_ptr_nonnull(bus.bus);
}
END_TEST

static const struct {
	const char *at;
	enum fault fault;
} faults[] = {
	{"GetUnitByPID", FAILS},
	{"GetUnitByPID", CLOSES},
	{"GetUnitByPID", SILENT},
	{"GetUnitByPID", NONSENSE},
	{"Job", FAILS},
	{"Job", CLOSES},
	{"Job", SILENT},
	{"Job", NONSENSE},
	{"JobType", FAILS},
	{"JobType", CLOSES},
	{"JobType", SILENT},
	{"JobType", NONSENSE},
	{"NFileDescriptorStore", FAILS},
	{"NFileDescriptorStore", CLOSES},
	{"NFileDescriptorStore", SILENT},
	{"NFileDescriptorStore", NONSENSE},
	{"Hello", FAILS},
	{"Hello", CLOSES},
	{"Hello", SILENT},
};
#define FAULTS ((int)(sizeof(faults) / sizeof(*faults)))

static void spoil(struct place *place, int i)
{
	place->fault_at = faults[i].at;
	place->fault = faults[i].fault;
}

START_TEST(test_faults)
{
	job_type = "restart";
	remove_place(&private);
	spoil(&bus, _i);
	assert_answer(INTENT_UNKNOWN);
}
END_TEST

/* What does not work with the manager itself works through the bus, unless the time is over. */
START_TEST(test_faults_of_the_first)
{
	job_type = "restart";
	spoil(&private, _i);
	assert_answer(faults[_i].fault == SILENT && strcmp(faults[_i].at, "Hello") != 0
			      ? INTENT_UNKNOWN
			      : INTENT_RESTART);
}
END_TEST

START_TEST(test_nobody_there)
{
	remove_place(&private);
	remove_place(&bus);
	assert_answer(INTENT_UNKNOWN);
}
END_TEST

/* Nothing is left in the loop that comes later. */
START_TEST(test_rest)
{
	job_type = "stop";
	assert_answer(INTENT_STOP);
	private.bus = sd_bus_close_unref(private.bus);
	ck_assert_int_eq(sd_event_run(master.event, 400000), 0);
}
END_TEST

START_TEST(test_no_manager)
{
	unsetenv("NOTIFY_SOCKET");
	intent_ask(&master, STORED, on_answer);
	ck_assert_int_eq(answers, 1);
	ck_assert_int_eq(answered, INTENT_UNKNOWN);
}
END_TEST

/* A second SIGTERM: the master ends before there is an answer. */
START_TEST(test_forgotten)
{
	job_type = "restart";
	intent_ask(&master, STORED, on_answer);
	for (int i = 0; i < _i; i++)
		sd_event_run(master.event, 0);
	intent_close(&master);
	for (int i = 0; i < 50; i++)
		sd_event_run(master.event, 0);
	ck_assert_int_le(answers, 1);
	ck_assert_ptr_null(master.question);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("intent");
	TCase *tcase = tcase_create("intent");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tcase);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, test_direct, 0, TYPES);
	tcase_add_loop_test(tcase, test_through_the_bus, 0, TYPES);
	tcase_add_test(tcase, test_a_store_that_keeps_too_few);
	tcase_add_loop_test(tcase, test_faults, 0, FAULTS);
	tcase_add_loop_test(tcase, test_faults_of_the_first, 0, FAULTS);
	tcase_add_test(tcase, test_nobody_there);
	tcase_add_test(tcase, test_rest);
	tcase_add_test(tcase, test_no_manager);
	tcase_add_loop_test(tcase, test_forgotten, 0, 12);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
