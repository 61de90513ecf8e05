// What a shoal.Store of Python holds.
#pragma once

#include <memory>
#include <string>

#include <nanobind/nanobind.h>

#include <shoal/store.hpp>

namespace shoal::python {

// Thread safety: whoever uses it holds the interpreter's lock, and keeps a store() of its own where it lets that
// go: so close() takes the store away from nobody who is in the midst of a call.
class OpenStore {
public:
    OpenStore(Store&& store, std::string path, const Options& options);
    OpenStore(const OpenStore&) = delete;
    OpenStore& operator=(const OpenStore&) = delete;
    ~OpenStore();

    [[nodiscard]] std::shared_ptr<Store> store() const;  // raises Closed
    [[nodiscard]] bool closed() const noexcept { return store_ == nullptr; }
    void close();

    // Absolute; empty for a store in memory.
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] const Options& options() const noexcept { return options_; }

private:
    std::shared_ptr<Store> store_;
    std::string path_;
    Options options_;  // that it was opened with
};

// A temporary store goes with its last owner that closes it, and an interpreter does not destroy what modules hold
// when it ends: so that is done here. For atexit.
void close_temporary_stores();

void bind_store(nanobind::module_& module);

}  // namespace shoal::python
