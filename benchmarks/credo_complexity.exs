# Prints path, line and Credo's cyclomatic complexity of each function: see `benchmarks/metrics_agreement.py`.
for path <- System.argv() do
  Macro.prewalk(Code.string_to_quoted!(File.read!(path)), fn
    {kind, meta, arguments} = node when kind in [:def, :defp, :defmacro] and is_list(arguments) ->
      complexity = round(Credo.Check.Refactor.CyclomaticComplexity.complexity_for(node))
      IO.puts("#{path}\t#{meta[:line]}\t#{complexity}")
      node

    node ->
      node
  end)
end
