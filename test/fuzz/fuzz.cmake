# SPDX-License-Identifier: BSD-2-Clause
#
# Fuzz targets: libFuzzer with ASan and UBSan, built by Clang whatever compiles the rest. One call:
#
#   ballast_fuzz(NAME SOURCES test/fuzz/fuzz_NAME.c lib/x.c ... [SECONDS 5] [MAX_BYTES 4096]
#                [DEFINITIONS X ...])
#
# makes the program fuzz_NAME and the test fuzz.NAME (label fuzz), which runs for that long from
# the seeds in test/fuzz/corpus/NAME, if there are any. What crashed is left in the build folder's
# fuzz/NAME/crash-...; `fuzz_NAME FILE` runs it again. Without Clang and its runtime (Debian:
# clang, libclang-rt-dev) there are no fuzz targets. Targets are declared in targets.d/*.cmake.
find_program(FUZZ_CLANG clang)
set(FUZZ_FLAGS -std=gnu11 -g -O1 -fno-omit-frame-pointer -fsanitize=fuzzer,address,undefined
	-fno-sanitize-recover=all -Wall -Wextra -Wno-unknown-warning-option
	-Wno-gnu-variable-sized-type-not-at-end -Wno-address-of-packed-member)

if(FUZZ_CLANG AND NOT DEFINED FUZZ_WORKS)
	file(WRITE ${CMAKE_BINARY_DIR}/fuzz/try.c
		"int LLVMFuzzerTestOneInput(const char *p, long n) { return p && n < 0; }\n")
	execute_process(COMMAND ${FUZZ_CLANG} ${FUZZ_FLAGS} try.c -o try
		WORKING_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz
		RESULT_VARIABLE fuzz_result OUTPUT_QUIET ERROR_QUIET)
	if(fuzz_result EQUAL 0)
		set(FUZZ_WORKS TRUE CACHE INTERNAL "Clang links fuzz targets")
	endif()
endif()
if(NOT FUZZ_WORKS)
	message(STATUS "Clang with libFuzzer not found: fuzz targets are not built")
endif()

function(ballast_fuzz name)
	cmake_parse_arguments(arg "" "SECONDS;MAX_BYTES" "SOURCES;DEFINITIONS" ${ARGN})
	if(NOT FUZZ_WORKS)
		return()
	endif()
	if(NOT arg_SECONDS)
		set(arg_SECONDS 5)
	endif()
	if(NOT arg_MAX_BYTES)
		set(arg_MAX_BYTES 4096)
	endif()
	set(folder ${CMAKE_BINARY_DIR}/fuzz/${name})
	file(MAKE_DIRECTORY ${folder}/found)
	set(objects)
	list(TRANSFORM arg_DEFINITIONS PREPEND -D)
	foreach(source ${arg_SOURCES})
		string(REPLACE / _ object ${source})
		set(object ${folder}/${object}.o)
		add_custom_command(OUTPUT ${object}
			COMMAND ${FUZZ_CLANG} ${FUZZ_FLAGS} -DBALLAST_UNIT_TEST ${arg_DEFINITIONS}
				-I${CMAKE_SOURCE_DIR} -MD -MF ${object}.d -c ${CMAKE_SOURCE_DIR}/${source} -o ${object}
			DEPENDS ${CMAKE_SOURCE_DIR}/${source} DEPFILE ${object}.d
			COMMENT "Clang, for fuzzing: ${source}" VERBATIM)
		list(APPEND objects ${object})
	endforeach()
	set(program ${CMAKE_BINARY_DIR}/fuzz_${name})
	add_custom_command(OUTPUT ${program}
		COMMAND ${FUZZ_CLANG} -fsanitize=fuzzer,address,undefined ${objects} -o ${program}
		DEPENDS ${objects} VERBATIM)
	add_custom_target(fuzz_target_${name} ALL DEPENDS ${program})
	set(seeds ${CMAKE_SOURCE_DIR}/test/fuzz/corpus/${name})
	if(NOT EXISTS ${seeds})
		set(seeds)
	endif()
	add_test(NAME fuzz.${name} COMMAND ${program} -max_total_time=${arg_SECONDS}
		-max_len=${arg_MAX_BYTES} -timeout=10 -rss_limit_mb=1024 -verbosity=0
		-print_final_stats=1 -artifact_prefix=${folder}/ ${folder}/found ${seeds})
	math(EXPR limit "${arg_SECONDS} + 100")
	set_tests_properties(fuzz.${name} PROPERTIES LABELS fuzz TIMEOUT ${limit})
endfunction()

file(GLOB fuzz_declarations CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/test/fuzz/targets.d/*.cmake)
foreach(declaration ${fuzz_declarations})
	include(${declaration})
endforeach()
