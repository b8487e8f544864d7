(field_definition value: [(arrow_function) (function_expression) (generator_function)]) @def.function
