/* SPDX-License-Identifier: BSD-2-Clause */
/* Formatted output: a small parser of conversions over one bounded sink. */
#include "lib/printf.h"

#include "lib/string.h"
#include "lib/util.h"

/* Where the text goes: what lies beyond `size` is counted and dropped. */
struct sink {
	char *to;
	size_t size;
	size_t length;
};

struct conversion {
	bool left;
	bool zero;
	int width;     /* 0: none */
	int precision; /* -1: none */
	int size;      /* bytes of the integer argument */
	char kind;
};

static void sink_put(struct sink *sink, char c)
{
	if (sink->length + 1 < sink->size)
		sink->to[sink->length] = c;
	sink->length++;
}

static void sink_fill(struct sink *sink, char c, int count)
{
	while (count-- > 0)
		sink_put(sink, c);
}

static void sink_text(struct sink *sink, const char *text, size_t length)
{
	while (length--)
		sink_put(sink, *text++);
}

/* Prefix (a sign or 0x), zeroes and digits, placed in the field as the flags ask. */
static void put_number(struct sink *sink, const struct conversion *conv, const char *prefix,
		       const char *digits, int count)
{
	int zeroes = conv->precision > count ? conv->precision - count : 0;
	int padding = conv->width - count - zeroes - (int)strlen(prefix);

	if (padding > 0 && conv->zero && !conv->left && conv->precision < 0) {
		zeroes += padding;
		padding = 0;
	}
	if (!conv->left)
		sink_fill(sink, ' ', padding);
	sink_text(sink, prefix, strlen(prefix));
	sink_fill(sink, '0', zeroes);
	sink_text(sink, digits, (size_t)count);
	if (conv->left)
		sink_fill(sink, ' ', padding);
}

static void put_unsigned(struct sink *sink, const struct conversion *conv, const char *prefix,
			 uint64_t value, unsigned int base)
{
	const char *set = conv->kind == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
	char digits[20];
	int at = (int)sizeof(digits);

	/* A value of zero with a precision of zero has no digits at all. */
	while (value || (at == (int)sizeof(digits) && conv->precision != 0)) {
		digits[--at] = set[value % base];
		value /= base;
	}
	put_number(sink, conv, prefix, digits + at, (int)sizeof(digits) - at);
}

static void put_string(struct sink *sink, const struct conversion *conv, const char *text)
{
	size_t length;
	int padding;

	if (!text)
		text = "(null)";
	length = conv->precision < 0 ? strlen(text) : strnlen(text, (size_t)conv->precision);
	padding = length > INT32_MAX ? 0 : conv->width - (int)length;
	if (!conv->left)
		sink_fill(sink, ' ', padding);
	sink_text(sink, text, length);
	if (conv->left)
		sink_fill(sink, ' ', padding);
}

/* Decimal digits at *at, saturating: a width that long is cut by the buffer anyway. */
static int parse_digits(const char **at)
{
	int value = 0;

	while (**at >= '0' && **at <= '9') {
		if (value < 100000)
			value = value * 10 + (**at - '0');
		(*at)++;
	}
	return value;
}

static int parse_size(const char **at)
{
	const char *s = *at;
	int size = (int)sizeof(int);

	if (s[0] == 'h' && s[1] == 'h') {
		size = 1;
		s += 2;
	} else if (s[0] == 'h') {
		size = 2;
		s += 1;
	} else if (s[0] == 'l' && s[1] == 'l') {
		size = 8;
		s += 2;
	} else if (s[0] == 'l' || s[0] == 'z') {
		size = 8;
		s += 1;
	}
	*at = s;
	return size;
}

/* A box around va_list, which is an array type and so changes its nature as a parameter. */
struct arguments {
	va_list list;
};

static const char *parse_conversion(const char *at, struct conversion *conv,
				    struct arguments *args)
{
	*conv = (struct conversion){.precision = -1};
	for (; *at == '-' || *at == '0'; at++) {
		if (*at == '-')
			conv->left = true;
		else
			conv->zero = true;
	}
	if (*at == '*') {
		conv->width = va_arg(args->list, int);
		at++;
		if (conv->width < 0) {
			conv->left = true;
			conv->width = conv->width == INT32_MIN ? 0 : -conv->width;
		}
	} else {
		conv->width = parse_digits(&at);
	}
	if (*at == '.') {
		at++;
		if (*at == '*') {
			conv->precision = va_arg(args->list, int);
			at++;
			if (conv->precision < 0)
				conv->precision = -1;
		} else {
			conv->precision = parse_digits(&at);
		}
	}
	conv->size = parse_size(&at);
	conv->kind = *at;
	return *at ? at + 1 : at;
}

static int64_t fetch_signed(const struct conversion *conv, struct arguments *args)
{
	if (conv->size == 8)
		return va_arg(args->list, long);
	switch (conv->size) {
	case 1:
		return (int8_t)va_arg(args->list, int);
	case 2:
		return (int16_t)va_arg(args->list, int);
	default:
		return va_arg(args->list, int);
	}
}

static uint64_t fetch_unsigned(const struct conversion *conv, struct arguments *args)
{
	if (conv->size == 8)
		return va_arg(args->list, unsigned long);
	return va_arg(args->list, unsigned int) & byte_mask((unsigned int)conv->size);
}

static void put_conversion(struct sink *sink, const struct conversion *conv,
			   struct arguments *args)
{
	int64_t value;
	char c;

	switch (conv->kind) {
	case 'c':
		c = (char)va_arg(args->list, int);
		sink_fill(sink, ' ', conv->left ? 0 : conv->width - 1);
		sink_put(sink, c);
		sink_fill(sink, ' ', conv->left ? conv->width - 1 : 0);
		break;
	case 's':
		put_string(sink, conv, va_arg(args->list, const char *));
		break;
	case 'd':
	case 'i':
		value = fetch_signed(conv, args);
		put_unsigned(sink, conv, value < 0 ? "-" : "",
			     value < 0 ? -(uint64_t)value : (uint64_t)value, 10);
		break;
	case 'u':
		put_unsigned(sink, conv, "", fetch_unsigned(conv, args), 10);
		break;
	case 'x':
	case 'X':
		put_unsigned(sink, conv, "", fetch_unsigned(conv, args), 16);
		break;
	case 'p':
		put_unsigned(sink, conv, "0x", (uint64_t)(uintptr_t)va_arg(args->list, void *),
			     16);
		break;
	case '%':
		sink_put(sink, '%');
		break;
	default: /* a mistake in the format: show it, fetch nothing */
		sink_put(sink, '%');
		if (conv->kind)
			sink_put(sink, conv->kind);
	}
}

int vsnprintf(char *restrict to, size_t size, const char *restrict format, va_list args)
{
	struct sink sink = {.to = to, .size = size};
	struct arguments box;
	struct conversion conv;

	va_copy(box.list, args);
	while (*format) {
		if (*format != '%') {
			sink_put(&sink, *format++);
			continue;
		}
		format = parse_conversion(format + 1, &conv, &box);
		put_conversion(&sink, &conv, &box);
	}
	va_end(box.list);
	if (size)
		to[MIN(sink.length, size - 1)] = '\0';
	return (int)sink.length;
}

int snprintf(char *restrict to, size_t size, const char *restrict format, ...)
{
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(to, size, format, args);
	va_end(args);
	return length;
}
