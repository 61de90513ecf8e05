// A wait in the midst of a call, as Options::wait_hooks are told of it. Outside of every epoch: a hook may take
// long.
//
// Thread safety: one thread's.
#pragma once

#include <shoal/options.hpp>

namespace shoal {

class Waiting {
public:
    explicit Waiting(const WaitHooks& hooks) noexcept : hooks_(hooks) {
        if (hooks_.begin != nullptr) hooks_.begin();
    }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;
    ~Waiting() {
        if (hooks_.end != nullptr) hooks_.end();
    }

private:
    const WaitHooks& hooks_;
};

}  // namespace shoal
