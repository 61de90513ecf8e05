// The process table and the lists of retired memory, checked: arena/slots.hpp, arena/epoch.hpp. At rest only.
#pragma once

#include "verify/inspection.hpp"

namespace shoal {

// Follows what is retired, and then what the slots of the dead have under way; the index has been followed before.
void check_retired(Inspection& inspection);
void check_slots(Inspection& inspection);

}  // namespace shoal
