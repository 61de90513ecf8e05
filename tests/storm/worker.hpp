// What a process of the storm does, by its part; see supervisor.cpp for who starts which, and when.
#pragma once

#include <cstdint>
#include <string_view>

#include "ledger.hpp"

namespace storm {

enum class Part : std::uint32_t {
    kWork,          // threads that work at random, until the round is over or the process has had enough
    kClearByErase,  // erase all that is there, then make and erase more, until told to end
    kClearByDrop,   // the same by drop
    kDestroy,       // destroy the store
    kAudit,         // account for everything; nobody else is there
    kMeasure,       // what memory a new store takes, one beside the storm's
    kAuditEmpty,    // see that nothing is there, and what memory that takes; nobody else is there
};

// Runs it; the process's exit code.
int run_part(const Ledger& ledger, std::uint32_t process, Part part);

}  // namespace storm
