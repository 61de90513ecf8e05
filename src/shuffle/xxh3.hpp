// XXH3, compiled in: rows have short keys, and a file's checksum is saved as its state.
#pragma once

#define XXH_INLINE_ALL
#include <xxhash.h>
