// What a worker of the storm has to do without: system calls that a sandbox refuses, descriptors, the processor.
//
// Thread safety: each is called by a process that has one thread yet; what it does holds for the process and for
// the children that it forks. A refusal of descriptors is an error that the ledger counts, and after which the
// record must not be there; a refusal of system calls, and a low priority, must show in nothing but speed.
#pragma once

#include <shoal/error.hpp>
#include <shoal/options.hpp>

#include "chance.hpp"
#include "ledger.hpp"

namespace storm {

// By seccomp, before the process opens the store: membarrier, io_uring, both or neither, as Header::refusal says.
void refuse_calls(const Ledger& ledger, Chance& chance);

// By RLIMIT_NOFILE, once the store is open: from 0 to Header::spare_descriptors more may be opened.
void limit_descriptors(const Ledger& ledger, Chance& chance);

// Where Header::roomy says so, in one process of three; true in those. A thread of it from which the processor is
// taken inside an operation gets it back late.
bool lower_priority(const Ledger& ledger, Chance& chance);

// Whether memory can only be missing because it is kept from reuse: the records are an eighth of the memory limit
// at most, and with all that segments, keys, the index and threads may take beyond them three quarters.
bool is_nearly_empty(const shoal::Stats& stats);

// Whether the error says that there were too few descriptors, in a storm that limits them.
bool lacks_descriptors(const Ledger& ledger, const shoal::Error& error);

}  // namespace storm
