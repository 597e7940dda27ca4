/// <reference lib="esnext.disposable" preserve="true" />
// The symbol that `using` calls.

/** Browsers without `using` have no Symbol.dispose; the method must not end up named 'undefined'. */
export const disposeSymbol: typeof Symbol.dispose =
  Symbol.dispose ?? (Symbol.for('Symbol.dispose') as typeof Symbol.dispose);
