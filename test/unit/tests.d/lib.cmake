# SPDX-License-Identifier: BSD-2-Clause
ballast_unit_test(lib SOURCES test/unit/test_lib.c test/unit/lib_renamed.c)
# liblz4 speaks the same format.
find_library(LZ4_LIBRARY lz4)
find_path(LZ4_INCLUDE lz4.h)
if(LZ4_LIBRARY AND LZ4_INCLUDE)
	ballast_unit_test(lz SOURCES test/unit/test_lz.c test/unit/pages.c lib/lz.c LIBS ${LZ4_LIBRARY})
else()
	message(STATUS "liblz4 not found: the compressor is not compared with it")
endif()
# As in ballast.efi: only what says so uses vector registers.
set_source_files_properties(lib/chacha20.c PROPERTIES COMPILE_OPTIONS -mgeneral-regs-only)
find_library(CRYPTO_LIBRARY crypto)
find_path(OPENSSL_INCLUDE openssl/evp.h)
if(CRYPTO_LIBRARY AND OPENSSL_INCLUDE)
	ballast_unit_test(chacha20 SOURCES test/unit/test_chacha20.c test/unit/pages.c lib/chacha20.c
		LIBS ${CRYPTO_LIBRARY})
else()
	message(STATUS "OpenSSL not found: ChaCha20 is not compared with it")
endif()
