// The allocator's bitmaps against what was reached, and all that is free against zero: arena/blocks.hpp. At rest
// only, and last: everything that can be reached has been.
#pragma once

#include "verify/inspection.hpp"

namespace shoal {

void check_blocks(Inspection& inspection);

}  // namespace shoal
