/* SPDX-License-Identifier: BSD-2-Clause */
/* Dates of the RTC: between seconds since 1970 and its registers in their formats. No state. */
#ifndef BALLAST_DEVICES_RTC_TIME_H
#define BALLAST_DEVICES_RTC_TIME_H

#include "lib/util.h"

#define RTC_SECONDS 0x00
#define RTC_SECONDS_ALARM 0x01
#define RTC_MINUTES 0x02
#define RTC_MINUTES_ALARM 0x03
#define RTC_HOURS 0x04
#define RTC_HOURS_ALARM 0x05
#define RTC_DAY_OF_WEEK 0x06
#define RTC_DAY 0x07
#define RTC_MONTH 0x08
#define RTC_YEAR 0x09
#define RTC_REG_A 0x0a
#define RTC_REG_B 0x0b
#define RTC_REG_C 0x0c
#define RTC_REG_D 0x0d
#define RTC_CENTURY 0x32

#define RTC_A_UIP BIT(7)
#define RTC_A_RATE 0x0f
#define RTC_A_DIVIDER_RESET 0x60 /* both bits: the divider is held */

#define RTC_B_SET BIT(7)
#define RTC_B_PIE BIT(6)
#define RTC_B_AIE BIT(5)
#define RTC_B_UIE BIT(4)
#define RTC_B_BINARY BIT(2)
#define RTC_B_24_HOURS BIT(1)

#define RTC_C_IRQ BIT(7)
#define RTC_C_PERIODIC BIT(6)
#define RTC_C_ALARM BIT(5)
#define RTC_C_UPDATE BIT(4)

/* Time and date registers of `cmos` from seconds since 1970, in the format register B asks for. */
void rtc_time_store(uint8_t *cmos, uint64_t seconds);
/* The reverse. Registers out of range give some time, never an error. */
uint64_t rtc_time_load(const uint8_t *cmos);
/* The first second after `after` at which the alarm registers match, or 0: never. */
uint64_t rtc_time_next_alarm(const uint8_t *cmos, uint64_t after);

#endif
