// TemporaryStore: a store under /tmp with its arena where the limits are measured, destroyed with the object.
//
// Only the process that made it destroys it: forked workers end by _exit. A bench that is killed leaves the
// store behind; bench/report.py gives TMPDIR and SHOAL_BENCH_DIR folders of its own and removes them.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>

#include <unistd.h>

#include <shoal/store.hpp>

#include "shared_file.hpp"

namespace bench {

class TemporaryStore {
public:
    explicit TemporaryStore(std::uint64_t memory_limit_bytes, std::uint64_t reserve_bytes = 0) {
        const char* base = std::getenv("TMPDIR");
        folder_ = std::string(base != nullptr ? base : "/tmp") + "/shoal-bench-XXXXXX";
        if (::mkdtemp(folder_.data()) == nullptr) die(folder_.c_str());
        shoal::Options options;
        options.memory_limit_bytes = memory_limit_bytes;
        options.reserve_bytes = reserve_bytes;
        options.arena_dir = arena_dir();
        auto opened = shoal::Store::open(path(), options);
        if (opened) {
            store_.emplace(std::move(*opened));
        } else {
            error_ = opened.error().message;
        }
    }
    TemporaryStore(const TemporaryStore&) = delete;
    TemporaryStore& operator=(const TemporaryStore&) = delete;
    ~TemporaryStore() {
        store_.reset();
        if (const auto gone = shoal::Store::destroy(path()); !gone && error_.empty()) {
            std::fprintf(stderr, "bench: %s\n", gone.error().message.c_str());
        }
        ::rmdir(folder_.c_str());
    }

    [[nodiscard]] std::string path() const { return folder_ + "/store"; }
    [[nodiscard]] const std::string& error() const { return error_; }  // empty when it is open
    [[nodiscard]] shoal::Store& operator*() { return *store_; }
    [[nodiscard]] shoal::Store* operator->() { return &*store_; }

private:
    std::string folder_;
    std::optional<shoal::Store> store_;
    std::string error_;
};

}  // namespace bench
