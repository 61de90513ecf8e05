// Starts a thread of the library's own. It takes no signal: those are for the threads of the program.
//
// Thread safety: every function. The caller's signal mask is the same afterwards, whatever happens.
#pragma once

#include <pthread.h>
#include <signal.h>

#include <cerrno>
#include <exception>
#include <system_error>
#include <thread>
#include <utility>

namespace shoal {

// Runs `body` in a new thread, in `thread`, which must not have one. Returns 0, or the errno for which there is no
// thread (EAGAIN at a limit of processes, ENOMEM); then `thread` has none and the caller works without it.
template <class Body>
[[nodiscard]] int start_thread(std::thread& thread, Body&& body) noexcept {
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);  // which the new thread inherits
    int cause = 0;
    try {
        thread = std::thread(std::forward<Body>(body));
    } catch (const std::system_error& refused) {
        cause = refused.code().value();
    } catch (const std::exception&) {  // std::bad_alloc
        cause = ENOMEM;
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return cause;
}

}  // namespace shoal
