#include "shuffle/meeting.hpp"

namespace shoal::shuffling {
namespace {

class Locked {
public:
    explicit Locked(pthread_mutex_t& mutex) noexcept : mutex_(mutex) { pthread_mutex_lock(&mutex_); }
    Locked(const Locked&) = delete;
    Locked& operator=(const Locked&) = delete;
    ~Locked() { pthread_mutex_unlock(&mutex_); }

private:
    pthread_mutex_t& mutex_;
};

}  // namespace

Meeting::Meeting() noexcept {
    pthread_mutexattr_t for_mutex;
    pthread_mutexattr_init(&for_mutex);
    pthread_mutexattr_setpshared(&for_mutex, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&mutex_, &for_mutex);
    pthread_mutexattr_destroy(&for_mutex);
    pthread_condattr_t for_condition;
    pthread_condattr_init(&for_condition);
    pthread_condattr_setpshared(&for_condition, PTHREAD_PROCESS_SHARED);
    pthread_cond_init(&changed_, &for_condition);
    pthread_condattr_destroy(&for_condition);
}

void Meeting::begin_when_complete() noexcept {
    if (mappers_ == 0) {
        over_ = true;
    } else if (present_ == mappers_ + writers_) {
        present_ = 0;
        called_.store(false, std::memory_order_relaxed);
        generation_.fetch_add(1, std::memory_order_relaxed);
    } else {
        return;
    }
    pthread_cond_broadcast(&changed_);
}

bool Meeting::attend() noexcept {
    const Locked locked(mutex_);
    const std::uint64_t before = generation();
    ++present_;
    begin_when_complete();
    while (generation() == before && !over_) pthread_cond_wait(&changed_, &mutex_);
    return generation() != before;
}

void Meeting::leave() noexcept {
    const Locked locked(mutex_);
    --mappers_;
    begin_when_complete();
}

}  // namespace shoal::shuffling
