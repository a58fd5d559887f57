# SPDX-License-Identifier: BSD-2-Clause
#
# Unit tests: code that needs no hardware, on the build machine, under ASan and UBSan.
# A test is one call in tests.d/*.cmake:
#
#   ballast_unit_test(NAME SOURCES test/unit/test_x.c lib/x.c ... [LIBS unicorn ...])
#
# The sources under test are named, so that each test shows what it stands on.
find_path(CMOCKA_INCLUDE cmocka.h)
if(NOT CMOCKA_INCLUDE)
	message(STATUS "cmocka not found: unit tests are not built")
	return()
endif()

function(ballast_unit_test name)
	cmake_parse_arguments(arg "" "" "SOURCES;LIBS;DEFINITIONS" ${ARGN})
	add_executable(unit_${name} ${arg_SOURCES})
	target_include_directories(unit_${name} PRIVATE ${CMAKE_SOURCE_DIR})
	target_compile_options(unit_${name} PRIVATE ${BALLAST_WARNINGS} -g -O1
		-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
	target_compile_definitions(unit_${name} PRIVATE BALLAST_UNIT_TEST ${arg_DEFINITIONS})
	target_link_options(unit_${name} PRIVATE -fsanitize=address,undefined)
	target_link_libraries(unit_${name} PRIVATE cmocka ${arg_LIBS})
	add_test(NAME unit.${name} COMMAND unit_${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
	set_tests_properties(unit.${name} PROPERTIES LABELS unit TIMEOUT 300)
endfunction()

file(GLOB unit_declarations CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/test/unit/tests.d/*.cmake)
foreach(declaration ${unit_declarations})
	include(${declaration})
endforeach()
