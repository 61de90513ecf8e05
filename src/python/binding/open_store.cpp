#include <set>

#include "python/binding/failure.hpp"
#include "python/binding/gil.hpp"
#include "python/binding/open_store.hpp"

namespace shoal::python {
namespace {

// Guarded by the interpreter's lock. Never destroyed, since stores may outlive the library's statics.
std::set<OpenStore*>& open_temporary_stores() {
    static auto& stores = *new std::set<OpenStore*>;
    return stores;
}

thread_local PyThreadState* waiting_thread = nullptr;

}  // namespace

WaitHooks without_lock_in_waits() noexcept {
    return {[] {
                if (PyGILState_Check() != 0) waiting_thread = PyEval_SaveThread();
            },
            [] {
                if (waiting_thread != nullptr) PyEval_RestoreThread(std::exchange(waiting_thread, nullptr));
            }};
}

OpenStore::OpenStore(Store&& store, std::string path, const Options& options)
    : store_(std::make_shared<Store>(std::move(store))), path_(std::move(path)), options_(options) {
    if (options_.temporary) open_temporary_stores().insert(this);
}

OpenStore::~OpenStore() { open_temporary_stores().erase(this); }

std::shared_ptr<Store> OpenStore::store() const {
    if (store_ == nullptr) [[unlikely]]
        raise_closed();
    return store_;
}

void OpenStore::close() {
    open_temporary_stores().erase(this);
    std::shared_ptr<Store> store = std::exchange(store_, nullptr);
    const Released released;  // to detach may wait for a spiller
    store.reset();
}

void close_temporary_stores() {
    auto& stores = open_temporary_stores();
    while (!stores.empty()) (*stores.begin())->close();
}

}  // namespace shoal::python
