/* SPDX-License-Identifier: BSD-2-Clause */
/* Dates of the RTC; see devices/rtc_time.h. */
#include "devices/rtc_time.h"

#define SECONDS_PER_DAY 86400
#define HOURS_PM 0x80
#define ALARM_ANY 0xc0 /* both upper bits: every value matches */

static uint8_t encode(const uint8_t *cmos, unsigned int value)
{
	if (cmos[RTC_REG_B] & RTC_B_BINARY)
		return value;
	return value / 10 % 10 << 4 | value % 10;
}

static unsigned int decode(const uint8_t *cmos, uint8_t value)
{
	if (cmos[RTC_REG_B] & RTC_B_BINARY)
		return value;
	return (value >> 4) * 10 + (value & 15);
}

static uint8_t encode_hours(const uint8_t *cmos, unsigned int hours)
{
	if (cmos[RTC_REG_B] & RTC_B_24_HOURS)
		return encode(cmos, hours);
	return encode(cmos, (hours + 11) % 12 + 1) | (hours >= 12 ? HOURS_PM : 0);
}

static unsigned int decode_hours(const uint8_t *cmos, uint8_t value)
{
	if (cmos[RTC_REG_B] & RTC_B_24_HOURS)
		return decode(cmos, value);
	return decode(cmos, value & ~HOURS_PM) % 12 + (value & HOURS_PM ? 12 : 0);
}

static bool is_leap(unsigned int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static unsigned int days_in_month(unsigned int year, unsigned int month)
{
	static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return days[month - 1] + (month == 2 && is_leap(year));
}

/* Days from 1970-01-01 to the first day of a year from 1970 on. */
static uint64_t days_before_year(unsigned int year)
{
	unsigned int past = year - 1;

	return (year - 1970) * 365ULL + (past / 4 - past / 100 + past / 400) -
		(1969 / 4 - 1969 / 100 + 1969 / 400);
}

void rtc_time_store(uint8_t *cmos, uint64_t seconds)
{
	uint64_t days = seconds / SECONDS_PER_DAY;
	uint32_t rest = seconds % SECONDS_PER_DAY;
	unsigned int year = 1970 + MIN(days / 366, 8000), month = 1;

	cmos[RTC_DAY_OF_WEEK] = encode(cmos, (days + 4) % 7 + 1); /* 1 is Sunday */
	/* The estimate is short by a year for each few hundred. */
	while (year < 9999 && days_before_year(year + 1) <= days)
		year++;
	days -= days_before_year(year);
	while (month < 12 && days >= days_in_month(year, month))
		days -= days_in_month(year, month++);
	cmos[RTC_SECONDS] = encode(cmos, rest % 60);
	cmos[RTC_MINUTES] = encode(cmos, rest / 60 % 60);
	cmos[RTC_HOURS] = encode_hours(cmos, rest / 3600);
	cmos[RTC_DAY] = encode(cmos, days + 1);
	cmos[RTC_MONTH] = encode(cmos, month);
	cmos[RTC_YEAR] = encode(cmos, year % 100);
	cmos[RTC_CENTURY] = encode(cmos, year / 100);
}

uint64_t rtc_time_load(const uint8_t *cmos)
{
	unsigned int year = decode(cmos, cmos[RTC_CENTURY]) * 100 + decode(cmos, cmos[RTC_YEAR]);
	unsigned int month = (decode(cmos, cmos[RTC_MONTH]) + 11) % 12 + 1;
	uint64_t days;

	/* A guest that knows no century register may leave nonsense in it. */
	if (year < 1970 || year > 9999)
		year = 2000 + year % 100;
	days = days_before_year(year) + decode(cmos, cmos[RTC_DAY]);
	for (unsigned int m = 1; m < month; m++)
		days += days_in_month(year, m);
	if (days > 0)
		days--;
	return days * SECONDS_PER_DAY + decode_hours(cmos, cmos[RTC_HOURS]) * 3600 +
		decode(cmos, cmos[RTC_MINUTES]) * 60 + decode(cmos, cmos[RTC_SECONDS]);
}

uint64_t rtc_time_next_alarm(const uint8_t *cmos, uint64_t after)
{
	uint8_t raw_hours = cmos[RTC_HOURS_ALARM], raw_minutes = cmos[RTC_MINUTES_ALARM];
	uint8_t raw_seconds = cmos[RTC_SECONDS_ALARM];
	bool any_hour = raw_hours >= ALARM_ANY, any_minute = raw_minutes >= ALARM_ANY;
	bool any_second = raw_seconds >= ALARM_ANY;
	unsigned int hours = decode_hours(cmos, raw_hours);
	unsigned int minutes = decode(cmos, raw_minutes), seconds = decode(cmos, raw_seconds);
	uint64_t at = after + 1;

	if ((!any_hour && hours > 23) || (!any_minute && minutes > 59) ||
		(!any_second && seconds > 59))
		return 0;
	/* Each step goes to the start of the next hour, minute or second: 24 + 60 + 60 at most. */
	for (unsigned int step = 0; step < 24 + 60 + 60 + 3; step++) {
		uint32_t rest = at % SECONDS_PER_DAY;

		if (!any_hour && rest / 3600 != hours)
			at += 3600 - rest % 3600;
		else if (!any_minute && rest / 60 % 60 != minutes)
			at += 60 - rest % 60;
		else if (!any_second && rest % 60 != seconds)
			at++;
		else
			return at;
	}
	return 0;
}
