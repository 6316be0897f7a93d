//! Which compositions cannot work, and why.

use std::time::Duration;

use super::layer::Layer;

/// The most layers of one policy.
pub(super) const MAX_LAYERS: usize = 16;

/// Why these layers, the outermost first, cannot work together, if so.
pub(super) fn fault<T, E>(layers: &[Layer<T, E>]) -> Option<String> {
    if layers.len() > MAX_LAYERS {
        return Some(format!(
            "it has {} parts, and may have {MAX_LAYERS}",
            layers.len()
        ));
    }
    let pairs = layers.iter().enumerate().flat_map(|(place, outer)| {
        let inner = layers[place + 1..].iter();
        inner.map(move |inner| (outer, inner))
    });
    let alone = layers.iter().find_map(of_one);
    alone.or_else(|| {
        pairs
            .into_iter()
            .find_map(|(outer, inner)| of_two(outer, inner))
    })
}

fn of_one<T, E>(layer: &Layer<T, E>) -> Option<String> {
    match layer {
        Layer::Timeout(Duration::ZERO) => {
            Some("a timeout of 0 s ends every call that waits at all".to_owned())
        }
        Layer::Hedge(hedge) => hedge.fault(),
        _ => None,
    }
}

fn of_two<T, E>(outer: &Layer<T, E>, inner: &Layer<T, E>) -> Option<String> {
    if inner.ends_errors() {
        let waits_for_errors = match outer {
            Layer::Retry(_) | Layer::Fallback(_) => true,
            // It is also for what is slow.
            Layer::Hedge(hedge) => hedge.delay().is_none(),
            // It may still count what is no error.
            Layer::Breaker(_, count) => count.is_none(),
            _ => false,
        };
        if waits_for_errors {
            return Some(format!(
                "the {} further in leaves no error that {outer} could see: put it further out",
                inner.name()
            ));
        }
    }
    match (outer, inner) {
        (Layer::Timeout(outer), Layer::Timeout(inner)) if inner >= outer => Some(format!(
            "the inner timeout of {inner:?} can never be reached, as the outer one of {outer:?} \
             comes first: make the inner one shorter"
        )),
        (Layer::Timeout(after), Layer::Bulkhead(_) | Layer::RateLimit(_)) => {
            let max_wait = match inner {
                Layer::Bulkhead(bulkhead) => bulkhead.max_wait(),
                Layer::RateLimit(limit) => limit.max_wait(),
                _ => None,
            };
            let wait = max_wait.filter(|wait| wait >= after)?;
            Some(format!(
                "{inner} would wait {wait:?} within the timeout of {after:?}, which comes first: let \
                 it wait for less, or put it further out"
            ))
        }
        (Layer::Timeout(after), Layer::Retry(retry)) if retry.max_attempts > 1 => {
            // The shortest that jitter can make of it.
            let wait = retry.backoff.delay_after_with(1, Duration::ZERO, 0.0);
            (wait >= *after && !retry.has_server_delay()).then(|| {
                format!(
                    "{inner} waits at least {wait:?} before it tries again, within the timeout of \
                     {after:?}, which comes first: put the timeout further in, or wait for less"
                )
            })
        }
        (Layer::Timeout(after), Layer::Hedge(hedge)) => {
            let delay = hedge.delay().filter(|delay| delay >= after)?;
            Some(format!(
                "{inner} waits {delay:?} before it begins another attempt, within the timeout of {after:?}, which \
                 comes first: put the timeout further in, or wait for less"
            ))
        }
        (Layer::Hedge(_), Layer::Hedge(_)) => {
            Some("there are two hedges in it, and their attempts would multiply".to_owned())
        }
        (Layer::Bulkhead(outer), Layer::Bulkhead(inner)) if outer.is_same(inner) => Some(
            "the same bulkhead is in it twice, so that a call would wait for itself".to_owned(),
        ),
        (Layer::Breaker(outer, _), Layer::Breaker(inner, _)) if outer.is_same(inner) => {
            Some(format!(
                "circuit breaker `{}` is in it twice, and would count each call twice",
                outer.name()
            ))
        }
        (Layer::RateLimit(outer), Layer::RateLimit(inner)) if outer.is_same(inner) => {
            Some("the same rate limit is in it twice, and would count each call twice".to_owned())
        }
        _ => None,
    }
}
