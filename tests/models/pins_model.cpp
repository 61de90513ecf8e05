// Pins: several views of one process by one slot, made and ended in any order, while two others retire what the
// views can see and free what they may (arena/pins.cpp, arena/stays.hpp).
#include "arena/pins.hpp"

#include "arena.hpp"
#include "check.hpp"

using namespace shoal;
using namespace shoal::model;

namespace {

constexpr unsigned kViews = 3;

class PinsModel : public Model {
public:
    PinsModel() {
        for (unsigned number = 0; number < 3; ++number) {
            as_process(number, [&] { processes_[number] = std::make_unique<Process>(arena_); });
        }
        as_process(0, [this] { pins_.emplace(processes_[0]->slots, processes_[0]->epochs); });
        as_process(1, [this] { published_.store(raw(make_object(*processes_[1])), std::memory_order_relaxed); });
        name(&published_, "published");
        name(&arena_.header().epoch, "epoch");
    }

    void thread(unsigned number) override {
        Process& process = *processes_[number];
        if (number == 0) {
            for (int turn = 0; turn < 6; ++turn) {
                View& view = views_[random(kViews)];
                if (is_null(view.object)) {
                    begin(view);
                } else {
                    end(view);
                }
                idle(15);
                look();
            }
            for (View& view : views_) {
                if (!is_null(view.object)) end(view);
            }
        } else if (number == 1) {
            for (int turn = 0; turn < 2; ++turn) {
                idle(20);
                process.enter();
                const ArenaOffset fresh = make_object(process);
                idle(20);
                const auto old =
                    static_cast<ArenaOffset>(published_.exchange(raw(fresh), std::memory_order_acq_rel));
                process.epochs.retire(RetiredKind::kChain, old);
                process.leave();
            }
        } else {
            for (int turn = 0; turn < 6; ++turn) {
                idle(20);
                process.reclaim(1, false);
            }
        }
    }

    void after() override {
        processes_[1]->reclaim(5, false);
        expect(!processes_[1]->epochs.has_retired(), "everything retired is freed in the end");
    }

private:
    struct View {
        Pins::Ticket ticket;
        ArenaOffset object = ArenaOffset::kNull;
        std::uint64_t serial = 0;
    };

    ArenaOffset make_object(Process& process) {
        const ArenaOffset object = process.blocks.allocate(process.slot, sizeof(Chain)).offset;
        expect(!is_null(object), "there is room");
        arena_.at<Chain>(object)->hash = ++serials_;
        return object;
    }

    void begin(View& view) {
        view.ticket = pins_->add(nullptr);
        expect(view.ticket.attachment != 0, "a pin is to be had");
        view.object = static_cast<ArenaOffset>(published_.load(std::memory_order_acquire));
        view.serial = arena_.at<Chain>(view.object)->hash;
        expect(view.serial != 0, "what is published is not free");
    }
    void end(View& view) {
        look();
        view.object = ArenaOffset::kNull;
        pins_->remove(view.ticket);
    }
    void look() {
        for (const View& view : views_) {
            expect(is_null(view.object) || arena_.at<Chain>(view.object)->hash == view.serial,
                   "what a view can see is not reused while it lives");
        }
    }

    Mapping& arena_ = fresh_arena();
    std::array<std::unique_ptr<Process>, 3> processes_;
    std::optional<Pins> pins_;  // of process 0
    std::array<View, kViews> views_;
    Atomic<std::uint64_t> published_;
    std::uint64_t serials_ = 0;
};

}  // namespace

TEST_CASE("What a view can see is not reused while it lives, though older views of its process end") {
    check_holds(3, make<PinsModel>(), 60'000);
}

TEST_CASE("It could be, if a view that begins beside others were not fenced") {
    check_breaks(3, make<PinsModel>(), 100'000, {"Stays::begin", Kind::kFence, std::memory_order_seq_cst});
}

TEST_CASE("What views have seen could stay for ever, if the last one did not leave the epoch") {
    check_breaks(3, make<PinsModel>(), 40'000, left_out("Epochs::leave", Kind::kStore, std::memory_order_release));
}
