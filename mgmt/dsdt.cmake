# SPDX-License-Identifier: BSD-2-Clause
# cmake -DIASL=... -DASL=dsdt.asl -DAML=BASE -DOUTPUT=guest_dsdt.c -P dsdt.cmake
# iasl talks even when all is well: its words are shown only when it fails.
execute_process(COMMAND ${IASL} -we -p ${AML} ${ASL} RESULT_VARIABLE failed OUTPUT_VARIABLE said
	ERROR_VARIABLE said)
if(failed)
	message(FATAL_ERROR "iasl failed on ${ASL}:\n${said}")
endif()
file(READ ${AML}.aml bytes HEX)
string(REGEX REPLACE "(..)" "0x\\1, " bytes "${bytes}")
file(WRITE ${OUTPUT} "/* Made from mgmt/dsdt.asl. */
#include \"mgmt/guest_firmware.h\"

const uint8_t guest_dsdt[] = { ${bytes}};
const size_t guest_dsdt_bytes = sizeof(guest_dsdt);
")
