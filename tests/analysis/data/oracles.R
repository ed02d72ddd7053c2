# Reference values for tests/analysis, computed by R and frozen in oracles.json.
#
#   Debian 12: apt-get install r-base-core r-cran-survival r-cran-coin r-cran-jsonlite
#   Rscript oracles.R > oracles.json          (in this directory)
#
# The tests read the JSON alone. In it, null stands for NA: a trial that never reached the threshold
# in the samples, an undefined or unbounded value in the results.

suppressPackageStartupMessages({
  library(survival)
  library(coin)
  library(jsonlite)
})

set.seed(20230717)
horizon <- 100

# Epochs to a threshold counted from 0, censored at the horizon: few and many ties, none to most
# trials censored, an event at epoch 0 and at the last epoch, odd and even sizes.
never_after <- function(epochs) ifelse(epochs < horizon, epochs, NA)
samples <- list(
  complete_even = round(rgamma(50, 4, 1 / 8)),
  complete_odd  = round(rgamma(21, 3, 1 / 5)),
  some_never    = never_after(rgeom(50, 1 / 60)),
  most_never    = never_after(20 + rgeom(33, 1 / 300)),
  few_trials    = c(12, 3, NA, 40, 99, 7, NA),
  with_zero     = c(0, 0, 5, 9, NA, 0, 31, 2),
  continuous    = never_after(rexp(40, 1 / 45))
)

observed <- function(x) list(time = ifelse(is.na(x), horizon, x), event = as.integer(!is.na(x)))

one_sample <- function(x) {
  o <- observed(x)
  fit <- survfit(Surv(o$time, o$event) ~ 1)
  arrived <- fit$n.event > 0
  table <- survival:::survmean(fit, rmean = horizon)$matrix
  mean_test <- t.test(o$time, conf.level = 0.9)

  # The sign test inverted: the values m of the sample for which it does not reject the median m.
  # Its interval runs from the l-th to the l-th last order statistic.
  n <- length(x)
  ranked <- sort(ifelse(is.na(x), Inf, x))
  l <- max(c(0, which(pbinom(seq_len(n) - 1, n, 0.5) <= 0.025)))
  bound <- function(i) if (i < 1 || i > n || is.infinite(ranked[i])) NA else ranked[i]

  reached <- x[!is.na(x)]
  list(
    epochs = x,
    curve = list(
      epoch = fit$time[arrived], survival = fit$surv[arrived],
      at_risk = fit$n.risk[arrived], reached = fit$n.event[arrived]
    ),
    median = unname(quantile(fit, 0.5, conf.int = FALSE)),
    median_low = bound(l), median_high = bound(n + 1 - l),
    restricted_mean = unname(table["rmean"]), restricted_mean_se = unname(table["se(rmean)"]),
    t_interval_90 = as.numeric(mean_test$conf.int),
    quartiles_reached = unname(quantile(reached, c(0.25, 0.5, 0.75), type = 7))
  )
}

log_rank <- function(first, second) {
  a <- observed(samples[[first]])
  b <- observed(samples[[second]])
  group <- rep(0:1, c(length(a$time), length(b$time)))
  test <- survdiff(Surv(c(a$time, b$time), c(a$event, b$event)) ~ group)
  list(a = first, b = second, statistic = test$chisq, p = 1 - pchisq(test$chisq, 1))
}

small_a <- round(rnorm(7), 3)
small_b <- round(rnorm(8, 0.8), 3)
exact <- function(alternative) {
  data <- data.frame(y = c(small_a, small_b), g = factor(rep(c("a", "b"), c(7, 8))))
  test <- wilcox_test(y ~ g, data, distribution = "exact", alternative = alternative)
  list(
    x = small_a, y = small_b, alternative = alternative,
    U = unname(wilcox.test(small_a, small_b, alternative = alternative)$statistic),
    p = as.numeric(pvalue(test)),  # coin; wilcox.test must agree, see below
    p_base = wilcox.test(small_a, small_b, alternative = alternative, exact = TRUE)$p.value
  )
}

tied_a <- round(rbeta(20, 8, 2), 1)
tied_b <- round(rbeta(18, 5, 2), 1)
tied <- function(alternative) {
  test <- wilcox.test(tied_a, tied_b, alternative = alternative, exact = FALSE, correct = TRUE)
  list(x = tied_a, y = tied_b, alternative = alternative,
       U = unname(test$statistic), p = test$p.value)
}

wilson <- function(k, n, level) {
  # Its warning is about the p-value, which is not used.
  test <- suppressWarnings(prop.test(k, n, conf.level = level, correct = FALSE))
  list(k = k, n = n, confidence = level, interval = as.numeric(test$conf.int))
}

p_values <- list(c(0.01, 0.04, 0.03, 0.005), c(0.012, NA, 0.013, 0.2), c(0.6, 0.6, NA, NA))
alternatives <- c("two.sided", "less", "greater")

result <- list(
  versions = list(
    R = paste(R.version$major, R.version$minor, sep = "."),
    survival = as.character(packageVersion("survival")),
    coin = as.character(packageVersion("coin")),
    jsonlite = as.character(packageVersion("jsonlite"))
  ),
  horizon = horizon,
  samples = lapply(samples, one_sample),
  logrank = list(
    log_rank("complete_even", "some_never"), log_rank("some_never", "most_never"),
    log_rank("few_trials", "with_zero"), log_rank("continuous", "most_never")
  ),
  mann_whitney = c(lapply(alternatives, exact), lapply(alternatives, tied)),
  wilson = list(
    wilson(29, 50, 0.95), wilson(0, 50, 0.95), wilson(50, 50, 0.95), wilson(1, 3, 0.9),
    wilson(17, 20, 0.99)
  ),
  holm = lapply(p_values, function(p) list(p = p, p_holm = p.adjust(p, "holm")))
)

stopifnot(
  all(sapply(result$mann_whitney[1:3], function(t) isTRUE(all.equal(t$p, t$p_base)))),
  # Neither sample of the exact tests has ties; both of the approximate ones do.
  !any(duplicated(c(small_a, small_b))), any(duplicated(c(tied_a, tied_b)))
)

cat(toJSON(result, auto_unbox = TRUE, digits = I(15), na = "null", pretty = TRUE), "\n", sep = "")
