# SPDX-License-Identifier: BSD-2-Clause
#
# The benchmark as a test: it fails when a figure is more than 5 % above the committed baseline. The default run
# has Ballast on emulated SVM; the whole, with KVM beside it, has the label `long`.
set(bench_program ${CMAKE_SOURCE_DIR}/test/bench/bench --build ${CMAKE_BINARY_DIR})

add_test(NAME bench.svm COMMAND ${PYTHON} ${bench_program} --quick --boot --bench qemu-svm
	--workdir ${CMAKE_BINARY_DIR}/test/bench.svm)
set_tests_properties(bench.svm PROPERTIES LABELS bench TIMEOUT 600)
add_test(NAME bench.all COMMAND ${PYTHON} ${bench_program} --boot --peer-vmx
	--workdir ${CMAKE_BINARY_DIR}/test/bench.all --json ${CMAKE_BINARY_DIR}/test/bench.all/bench.json)
set_tests_properties(bench.all PROPERTIES LABELS "bench;long" TIMEOUT 1800)
add_test(NAME bench.memory COMMAND ${PYTHON} ${CMAKE_SOURCE_DIR}/test/bench/bench-memory --build ${CMAKE_BINARY_DIR})
set_tests_properties(bench.memory PROPERTIES LABELS "bench;long" TIMEOUT 900)
add_test(NAME bench.report COMMAND ${PYTHON} ${CMAKE_SOURCE_DIR}/test/bench/test_report.py)
set_tests_properties(bench.report PROPERTIES LABELS unit)
