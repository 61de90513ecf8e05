// Catch2, whichever the machine has: v2 (Debian 12) and v3 (Ubuntu 24.04) name their headers differently. Link
// `test_main` of tests/meson.build: it holds main() and a watchdog that ends a test case that hangs.
//
// SHOAL_SKIP(reason) is for a feature that the machine lacks: it prints "SKIPPED: reason", which tools/test
// counts, and leaves the test case (v2 has no skip of its own).
#pragma once

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif

#include <cstdio>
#include <sstream>

#define SHOAL_SKIP(reason)                                       \
    do {                                                         \
        std::ostringstream skip_reason;                          \
        skip_reason << reason;                                   \
        std::printf("SKIPPED: %s\n", skip_reason.str().c_str()); \
        std::fflush(stdout);                                     \
        SUCCEED("skipped");                                      \
        return;                                                  \
    } while (false)
