// What a worker of the storm has to do without: system calls that a sandbox refuses, and descriptors.
//
// Thread safety: each is called by a process that has one thread yet; what it does holds for the process and for
// the children that it forks. A refusal of descriptors is an error that the ledger counts, and after which the
// record must not be there; a refusal of system calls must show in nothing but speed.
#pragma once

#include <shoal/error.hpp>

#include "chance.hpp"
#include "ledger.hpp"

namespace storm {

// By seccomp, before the process opens the store: membarrier, io_uring, both or neither, as Header::refusal says.
void refuse_calls(const Ledger& ledger, Chance& chance);

// By RLIMIT_NOFILE, once the store is open: from 0 to Header::spare_descriptors more may be opened.
void limit_descriptors(const Ledger& ledger, Chance& chance);

// Whether the error says that there were too few descriptors, in a storm that limits them.
bool lacks_descriptors(const Ledger& ledger, const shoal::Error& error);

}  // namespace storm
