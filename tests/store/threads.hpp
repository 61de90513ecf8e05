// Threads whose bodies return what failed, "" for nothing, as forked children do: Catch2 is not for threads.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace shoal_test {

class Threads {
public:
    using Body = std::function<std::string()>;

    Threads() = default;
    ~Threads() { (void)join(); }
    Threads(const Threads&) = delete;
    Threads& operator=(const Threads&) = delete;

    void start(Body body) {
        threads_.emplace_back([this, body = std::move(body)] {
            const std::string failure = body();
            if (failure.empty()) return;
            const std::lock_guard lock(mutex_);
            failures_ += failure + "\n";
        });
    }

    // Waits for all; what failed in any of them.
    std::string join() {
        for (std::thread& thread : threads_) thread.join();
        threads_.clear();
        return failures_;
    }

private:
    std::mutex mutex_;
    std::string failures_;
    std::vector<std::thread> threads_;
};

}  // namespace shoal_test
